"""The files beside the interactions that say what items are: which is which, and their text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from jaxrec.data.readers import amazon, kuaishou, movielens, rectmall, steam, yelp
from jaxrec.data.readers.blocks import base_name, read_blocks
from jaxrec.data.readers.json_lines import read_objects
from jaxrec.data.readers.metadata import ItemMetadata, as_text, as_words
from jaxrec.data.readers.problems import BadRows, Problem, shown
from jaxrec.data.readers.tables import recbole_header
from jaxrec.errors import UserError

ID_KEYS = ("item", "iid", "item_id", "id", "parent_asin", "asin", "product_id", "business_id")
_KNOWN = {"title", "name", "description", "brand", "categories", "keywords", "image"}


def read_item_text(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """`item_text.jsonl`: an item's id (the first of ID_KEYS) and its text in any other fields."""
    for number, value in read_objects(path, bad):
        key = next((key for key in ID_KEYS if key in value), None)
        if key is None:
            found = f"fields {', '.join(map(str, value))}"
            bad.report([Problem(path, number, found, f"an item id is needed in one of {', '.join(ID_KEYS)}")])
            continue
        other = [as_text(entry) for name, entry in value.items() if name not in _KNOWN and name not in ID_KEYS]
        yield ItemMetadata(
            raw_id=str(value[key]),
            title=as_text(value.get("title") or value.get("name")),
            description=" ".join(filter(None, [as_text(value.get("description")), *other])),
            brand=as_text(value.get("brand")),
            categories=as_words(value.get("categories")),
            keywords=as_words(value.get("keywords")),
            image=as_text(value.get("image")),
        )


def read_recbole_items(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """A RecBole `.item` file: `item_id:token` and text in the other token columns."""
    kinds = recbole_header(path)
    names = list(kinds)
    if "item_id" not in kinds:
        raise UserError(f"{path}: line 1: no column 'item_id'; found {', '.join(names)}")
    key = names.index("item_id")
    title = next((index for index, name in enumerate(names) if "title" in name or name == "name"), None)
    texts = [index for index, name in enumerate(names) if kinds[name].startswith("token")]
    others = [index for index in texts if index not in (key, title)]
    for block in read_blocks(path):
        lines = block.data.decode(errors="replace").replace("\r\n", "\n").split("\n")[:-1]
        for number, line in enumerate(lines, start=block.first_line):
            fields = line.split("\t")
            if number == 1:
                continue
            if len(fields) != len(names):
                allowed = f"{len(names)} fields are needed ({', '.join(names)})"
                bad.report([Problem(path, number, f"{len(fields)} fields", allowed)])
                continue
            categories = tuple(filter(None, (as_text(fields[index]) for index in others)))
            yield ItemMetadata(fields[key], as_text(fields[title]) if title is not None else "", categories=categories)


def read_item_fields(path: Path, bad: BadRows) -> Iterator[ItemMetadata]:
    """`item_fields.jsonl`: an item's id (the first of ID_KEYS) and its categorical fields, which are no text."""
    for number, value in read_objects(path, bad):
        key = next((key for key in ID_KEYS if key in value), None)
        fields = {name: entry for name, entry in value.items() if name != key}
        nested = next((name for name, entry in fields.items() if isinstance(entry, dict | list)), None)
        if key is None:
            found = f"fields {', '.join(map(str, value))}"
            bad.report([Problem(path, number, found, f"an item id is needed in one of {', '.join(ID_KEYS)}")])
        elif nested is not None:
            bad.report([Problem(path, number, shown(fields[nested]), "text or a number is needed", nested)])
        else:
            known = {name: "" if entry is None else str(entry).strip() for name, entry in fields.items()}
            yield ItemMetadata(str(value[key]), fields=tuple(known.items()))


ItemReader = Callable[[Path, BadRows], Iterable[ItemMetadata]]

# File names without `.gz`, in lower case. The first that a folder has is read, as every file that fits it.
ITEM_FILES: tuple[tuple[str, ItemReader], ...] = (
    (r"item_text\.jsonl", read_item_text),
    (r"movies\.dat", movielens.read_movies),
    (r".*\.item", read_recbole_items),
    (r"yelp_academic_dataset_business\.json", yelp.read_businesses),
    (r"steam_games\.jsonl?", steam.read_games),
    (r"meta_.*\.jsonl?", amazon.read_metadata),
    (r".*rec_tmall_product.*\.(txt|csv)", rectmall.read_products),
    (r"(train|test)_text\.txt", kuaishou.read_cover_words),
)


def find_item_files(files: Sequence[Path]) -> list[tuple[Path, ItemReader]]:
    """Files of a folder that hold item metadata, with their readers; `item_fields.jsonl` beside those of any kind."""
    fields: list[tuple[Path, ItemReader]] = [
        (file, read_item_fields) for file in files if base_name(file) == "item_fields.jsonl"
    ]
    for pattern, reader in ITEM_FILES:
        found = [(file, reader) for file in files if re.fullmatch(pattern, base_name(file))]
        if found:
            return found + fields
    return fields


def is_item_file(file: Path) -> bool:
    """Whether a file holds item metadata, told by its name."""
    return any(re.fullmatch(pattern, base_name(file)) for pattern, _ in ITEM_FILES)
