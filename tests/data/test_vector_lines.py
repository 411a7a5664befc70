"""MCLN's published form: adjacency text and lines of features, small files of it with its widths."""

import warnings

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.item_features import load_item_features
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.data.vector_lines import read_vector_lines
from jaxrec.errors import UserError


@pytest.fixture
def published(tmp_path):
    """A folder as MCLN publishes it: 3 users, 5 items, one held out a user; item 3 has no title, item 4 nothing."""
    folder = tmp_path / "mcln"
    folder.mkdir()
    (folder / "train.txt").write_text("0 0 1 2\n1 2 3\n2 4 0\n")
    (folder / "test.txt").write_text("0 3\n1 0\n2 1\n")
    rng = np.random.default_rng(0)
    image, title = rng.normal(size=(5, 4096)).round(4), rng.normal(size=(5, 300)).round(5)

    def lines(rows, items):
        return "".join(f"{item} {' '.join(map(str, rows[item].tolist()))}\n" for item in items)

    (folder / "item2imgfeat.txt").write_text(lines(image, (2, 0, 1, 3)))
    (folder / "itemtitle2vec.txt").write_text(lines(title, (1, 0, 2)))
    return folder, image, title


def test_the_published_folder_is_read_whole(published, tmp_path):
    folder, image, title = published
    # It has no validation part: its two are joined and divided anew.
    dataset = load_dataset(DataConfig(path=str(folder), pool=True, cache=str(tmp_path / "cache")))
    assert (dataset.num_events, dataset.num_users, dataset.num_items) == (10, 3, 5)
    paths = (f"visual={folder / 'item2imgfeat.txt'}", f"text={folder / 'itemtitle2vec.txt'}")
    found = load_item_features(ItemFeaturesConfig(paths), dataset)
    assert {name: rows.shape for name, rows in found.vectors.items()} == {"visual": (5, 4096), "text": (5, 300)}
    for name, rows, there in (("visual", image, "0123"), ("text", title, "012")):
        for place, raw in enumerate(dataset.items.raw.tolist()):
            assert found.masks[name][place] == (raw in there)
            wanted = rows[int(raw)] if raw in there else np.zeros(rows.shape[1])
            np.testing.assert_array_equal(found.vectors[name][place], wanted.astype(np.float32))


def test_ids_and_numbers_by_line(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("b 1 -2.5e-3\na 0 0 \n")
    raw_ids, vectors = read_vector_lines(path)
    assert raw_ids == ("b", "a")
    np.testing.assert_array_equal(vectors, np.asarray([[1, -2.5e-3], [0, 0]], np.float32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 2\nb 1\n", "line 2: 1 numbers; 2 stand on line 1"),
        ("a 1 2\nb 1 nan\n", "line 2: found 'b 1 nan'; an id and finite numbers"),
        ("a 1 2\nb 1 1e99\n", "line 2"),
        ("a 1 2\nb 1 x\n", "line 2: found 'b 1 x'"),
        ("a 1 2\n\nb 1 2\n", "line 2: found ''"),
        ("a 1 2\na 3 4\n", 'line 2: id "a" stands on line 1 already'),
        ("a\n", "line 1: found 'a'"),
        ("", "empty"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, text, said):
    path = tmp_path / "x.txt"
    path.write_text(text)
    with warnings.catch_warnings(), pytest.raises(UserError, match=said):
        read_vector_lines(path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"a 1 \xff\n")
    with pytest.raises(UserError, match="not UTF-8"):
        read_vector_lines(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_vector_lines(tmp_path)
