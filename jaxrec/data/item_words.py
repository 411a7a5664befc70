"""What items are called and which categories they belong to, for prompts and for the variety of what users choose."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrec.data.config import DataConfig
from jaxrec.data.dataset import Dataset
from jaxrec.data.source import find_source

_SAMPLE_TAGS = "Tags: "
_TITLE_CHARS = 100


@dataclasses.dataclass(frozen=True)
class ItemWords:
    """In the order of the data set's items. titles: "" where there is none. categories: () where there are none."""

    titles: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]

    def shares(self) -> tuple[tuple[str, ...], np.ndarray]:
        """All categories, sorted, and how much of each item belongs to each: [I, C] float32, rows sum to 1 or 0."""
        names = tuple(sorted({name for item in self.categories for name in item}))
        places = {name: place for place, name in enumerate(names)}
        shares = np.zeros((len(self.categories), len(names)), np.float32)
        for row, item in enumerate(self.categories):
            for name in item:
                shares[row, places[name]] = 1.0 / len(item)
        return names, shares


def read_item_words(config: DataConfig, dataset: Dataset) -> ItemWords:
    """From the metadata beside the interactions where there is any, else from the data set's item texts.

    An item text gives its first sentence as the title, and no categories (the sample's: its tags).
    Raises: UserError where metadata is damaged.
    """
    titles = [""] * dataset.num_items
    categories: list[tuple[str, ...]] = [()] * dataset.num_items
    path = None if dataset.source == "sample" else find_source(config)
    if path is not None and path.is_dir():
        from jaxrec.data.readers.folder import list_files
        from jaxrec.data.readers.item_text import find_item_files
        from jaxrec.data.readers.problems import BadRows

        places = {raw: place for place, raw in enumerate(dataset.items.raw.tolist())}
        for file, reader in find_item_files(list_files(path)):
            for item in reader(file, BadRows(config.on_bad_row)):
                place = places.pop(item.raw_id, None)  # the first entry of an item stands
                if place is not None:
                    titles[place], categories[place] = item.title, tuple(dict.fromkeys(item.categories))
    for place, text in enumerate(dataset.item_text or ()):
        titles[place] = titles[place] or _first_sentence(text)
        if dataset.source == "sample" and _SAMPLE_TAGS in text:
            categories[place] = tuple(text.rpartition(_SAMPLE_TAGS)[2].rstrip(".").split(", "))
    return ItemWords(tuple(titles), tuple(categories))


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].strip()[:_TITLE_CHARS]
