"""Orders of candidates on disk: back as they were, and one clear line for what is damaged or of other data."""

import dataclasses
import json

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.eval.rankings import Rankings, read_rankings, write_rankings
from tests.precompute.shop import shop

DATA = shop()
MADE = Rankings(
    user_ids=np.array([1, 4, 6], np.int32),
    item_ids=np.array([[5, 2, 0], [7, 11, -1], [8, 9, 10]], np.int32),
    num_ranked=np.array([3, 1, 0], np.int32),
    scores=np.array([[-0.5, -1, -2], [-0.1, np.nan, np.nan], [np.nan] * 3], np.float32),
    valid=np.array([False, True, False]),
)


def kept(folder, rankings=MADE, sha256=DATA.sha256):
    write_rankings(folder, rankings, DATA)
    (folder / "manifest.json").write_text(json.dumps({"dataset_sha256": "0" * 64, "read_sha256": sha256}))
    return str(folder)


def test_what_is_written_is_read(tmp_path):
    found = read_rankings(kept(tmp_path), DATA)
    for field in dataclasses.fields(Rankings):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(MADE, field.name))
        assert getattr(found, field.name).dtype == getattr(MADE, field.name).dtype
    assert found.sha256 == MADE.sha256
    assert found.table(8)[[0, 4]].tolist() == [[-1, -1, -1], [7, 11, -1]]


def test_the_digest_tells_orders_apart():
    other = MADE.item_ids.copy()
    other[0] = [2, 5, 0]
    assert dataclasses.replace(MADE, item_ids=other).sha256 != MADE.sha256
    assert dataclasses.replace(MADE, valid=~MADE.valid).sha256 != MADE.sha256


def test_bad_folders_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"found no ranking.npz; allowed: a folder of step ranking"):
        read_rankings(str(tmp_path), DATA)
    path = kept(tmp_path, sha256="1" * 64)
    with pytest.raises(UserError, match=r"manifest.json: dataset_sha256 0+, but data set shop has 5+"):
        read_rankings(path, DATA)
    (tmp_path / "manifest.json").write_text("[")
    with pytest.raises(UserError, match=r"manifest.json: cannot be read as a JSON object"):
        read_rankings(path, DATA)
    twice = dataclasses.replace(MADE, item_ids=np.array([[5, 2, 5], [7, 11, -1], [8, 9, 10]], np.int32))
    with pytest.raises(UserError, match="found a user or an item of a list twice"):
        read_rankings(kept(tmp_path, twice), DATA)
    with pytest.raises(UserError, match="num_ranked has shape"):
        read_rankings(kept(tmp_path, dataclasses.replace(MADE, num_ranked=np.zeros(2, np.int32))), DATA)
    path = kept(tmp_path)
    (tmp_path / "ranking.npz").write_bytes((tmp_path / "ranking.npz").read_bytes()[:-40])
    with pytest.raises(UserError, match=r"not a whole ranking.npz"):
        read_rankings(path, DATA)


def test_an_unknown_item_is_named(tmp_path):
    path = kept(tmp_path)
    items = dataclasses.replace(DATA.items, raw=np.array([f"other {item}" for item in range(12)]))
    parts = {part: dataclasses.replace(getattr(DATA, part), items=items) for part in ("train", "valid", "test")}
    with pytest.raises(UserError, match=r"item 'thing 5' is not in data set shop"):
        read_rankings(path, dataclasses.replace(DATA, **parts))
