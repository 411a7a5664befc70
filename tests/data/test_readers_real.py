"""Real data sets, read whole: their published counts come out."""

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.readers import read

pytestmark = pytest.mark.real_data

# folder: format, users, items (those with an interaction), rows of each part or of all
COUNTS = {
    "amazon_book": ("csv", 11_000, 9_332, (120_464, 40_290, 40_106)),
    "gowalla": ("adjacency", 29_858, 40_981, (719_081, 91_047, 217_242)),
    "steam_partial": ("csv", 23_268, 5_231, (0, 104_897, 104_835)),
    "beauty": ("sequences", 22_363, 12_101, 198_502),
    "yelp_s3rec": ("sequences", 30_431, 20_033, 316_354),
    "lastfm": ("sequences", 1_090, 3_646, None),
    "taobao": ("sequences", 47_703, 53_324, 637_165),
    "retail_rocket": ("tsv", 2_174, 29_905, 97_381),
    "ml-1m": ("movielens", 6_040, None, 999_240),
    "reviews": ("amazon", None, None, 5_269),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(real_data, name):
    data_format, users, items, rows = COUNTS[name]
    result = read(DataConfig(), real_data / name)
    got = result.interactions
    assert result.format == data_format
    assert result.skipped_rows == 0
    assert users is None or len(got.users) == users
    assert items is None or len(got.items) == items
    if isinstance(rows, tuple):
        assert got.parts is not None
        assert tuple(np.bincount(got.parts, minlength=3).tolist()) == rows
    else:
        assert got.parts is None
        assert rows is None or len(got) == rows
    assert (got.timestamps is not None) == (data_format not in ("csv", "adjacency"))
    assert (got.ratings is not None) == (data_format in ("movielens", "amazon"))


def test_raw_ids_are_those_of_the_declared_map(real_data):
    got = read(DataConfig(), real_data / "amazon_book").interactions
    assert got.items.encode(["0373730489"])[0] >= 0
    # The first line of train.csv.gz is user 0, item 0.
    assert got.items.decode(got.item_ids[:1]).tolist() == ["0373730489"]


def test_text_of_items(real_data):
    yelp = read(DataConfig(), real_data / "yelp_s3rec").item_text
    assert yelp is not None
    assert yelp["1"] == "The Great Greek. Diners, Greek, Mediterranean, Restaurants"
    assert len(yelp) == 20_033
    beauty = read(DataConfig(), real_data / "beauty").item_text
    assert beauty is not None
    assert beauty["4"].startswith("shadowoulage profession")
    movies = read(DataConfig(), real_data / "ml-1m").item_text
    assert movies is not None
    assert movies["1"] == "Toy Story (1995). Animation, Children's, Comedy"


def test_sequences_keep_their_order(real_data):
    got = read(DataConfig(), real_data / "beauty").interactions
    assert got.timestamps is not None
    second = got.user_ids == got.users.encode(["2"])[0]
    assert got.items.decode(got.item_ids[second]).tolist() == ["6", "7", "8", "9", "10", "4", "11"]
    assert got.timestamps[second].tolist() == list(range(7))


def test_behaviours_of_events(real_data):
    got = read(DataConfig(), real_data / "retail_rocket").interactions
    assert got.behavior_names == ("0", "1", "2")
    assert got.behaviors is not None
    assert got.timestamps is not None
    assert [got.behaviors[1], got.timestamps[1]] == [1, 1433222104]
