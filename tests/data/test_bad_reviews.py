"""From raw reviews to cores and sequences, and what becomes of reviews that lack something or are too much."""

import json

import numpy as np
import pytest

from jaxrec.data.config import ColumnsConfig, DataConfig, FilterConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.data.readers import read
from jaxrec.data.sample.vocabulary import SENTIMENTS
from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.labels import labels_from_lexicon, labels_from_ratings
from jaxrec.precompute.sentiment.lexicon import Lexicon

LONG = "good " * 10_000
FOREIGN = "とても良い香りでした。また買います。 Очень понравилось 🙈"


def amazon(user, item, time, text="fine", **changes):
    record = {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": time, "reviewText": text}
    return {name: value for name, value in (record | changes).items() if value is not ...}


def written(tmp_path, records):
    path = tmp_path / "reviews.json"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def settings(tmp_path, path, **changes):
    return DataConfig(
        name="shop", path=str(path), cache=str(tmp_path / "cache"), reviews=True, split="leave_one_out", **changes
    )


def refused(path, **changes):
    with pytest.raises(UserError) as caught:
        read(DataConfig(reviews=True, **changes), path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def odd_reviews(tmp_path):
    """Three users of five items; the first user's training reviews are the odd ones."""
    records = [amazon(f"u{user}", f"i{item}", 100 * user + item) for user in range(3) for item in range(5)]
    for place, text in enumerate((..., FOREIGN, LONG)):
        records[place] = amazon("u0", f"i{place}", place, text)
    return written(tmp_path, records[::-1])


def test_odd_reviews_keep_their_place_and_their_text(tmp_path):
    data = load_dataset(settings(tmp_path, odd_reviews(tmp_path), filter=FilterConfig(user_core=5, item_core=3)))
    train = data.train
    mine = np.flatnonzero(train.user_ids == data.users.raw.tolist().index("u0"))
    mine = mine[np.argsort(train.timestamps[mine])]
    assert data.items.decode(train.item_ids[mine]).tolist() == ["i0", "i1", "i2"]
    assert [None if row < 0 else data.reviews[row] for row in train.reviews[mine].tolist()] == [None, FOREIGN, LONG]
    words = labels_from_lexicon(data, Lexicon({"good": 1.9}, "0" * 64))["train"]
    assert words.known[mine].tolist() == [False, True, True]
    assert [SENTIMENTS[label] for label in words.sentiment[mine]] == ["neutral", "neutral", "strong positive"]
    assert labels_from_ratings(data, 1, 5)["train"].known.all()


@pytest.mark.parametrize("changes", [{"unixReviewTime": ...}, {"unixReviewTime": None}, {"unixReviewTime": "soon"}])
@pytest.mark.parametrize("line", [1, 3])
def test_a_review_without_a_time_is_named_wherever_it_stands(tmp_path, changes, line):
    records = [amazon(f"u{user}", "i", user) for user in range(4)]
    records[line - 1] = amazon("x", "i", 7, **changes)
    path = written(tmp_path, records)
    message = refused(path)
    assert f"line {line}, column 'unixReviewTime'" in message
    assert "a number of seconds" in message
    kept = read(DataConfig(reviews=True, on_bad_row="skip"), path).interactions
    assert kept.users.raw.tolist() == [user for user in ("u0", "u1", "u2", "u3") if user != f"u{line - 1}"]
    assert kept.timestamps is not None


def test_without_any_times_the_order_of_the_file_counts(tmp_path):
    records = [amazon("u", f"i{item}", 0, unixReviewTime=...) for item in (3, 1, 2, 0)]
    data = load_dataset(settings(tmp_path, written(tmp_path, records)))
    assert data.train.timestamps is None
    raw = data.items.decode(np.concatenate([data.train.item_ids, data.valid.item_ids, data.test.item_ids]))
    assert raw.tolist() == ["i3", "i1", "i2", "i0"]


def test_dates_in_tables_are_times(tmp_path):
    path = tmp_path / "yelp.csv"
    path.write_text(
        'user_id,business_id,date,text\na,x,2011-01-26,"fine, really"\na,y,2011-01-26 01:00:00,\na,z,77,so\n'
    )
    columns = ColumnsConfig(user="user_id", item="business_id", timestamp="date", review="text")
    rows = read(DataConfig(reviews=True, columns=columns), path).interactions
    assert rows.timestamps.tolist() == [1_296_000_000, 1_296_003_600, 77]
    path.write_text("user_id,business_id,date,text\na,x,26.01.2011,fine\n")
    assert "'26.01.2011'; a number of seconds or a date like 2018-01-31 is needed" in refused(path, columns=columns)


@pytest.mark.real_data
def test_real_reviews_have_the_cores_that_the_papers_take(real_data, tmp_path):
    path = real_data / "reviews" / "All_Beauty_5.json.gz"
    data = load_dataset(settings(tmp_path, path, filter=FilterConfig(user_core=5, item_core=5)))
    events = [np.concatenate([getattr(part, side) for part in (data.train, data.valid, data.test)]) for side in
              ("user_ids", "item_ids")]  # fmt: skip
    assert (data.num_users, data.num_items) == (137, 24)
    assert all(np.bincount(ids).min() >= 5 for ids in events)
    columns = ColumnsConfig(user="user_id", item="business_id", rating="stars", timestamp="date", review="text")
    yelp = settings(tmp_path, real_data / "reviews" / "yelp_10k.csv.zip", columns=columns)
    data = load_dataset(DataConfig(**{**vars(yelp), "filter": FilterConfig(user_core=5)}))
    # Users are filtered alone: most items have one review.
    assert data.num_items > len(data.train) / 2
    assert len(data.valid) == len(data.test) == data.num_users
    last = dict(zip(data.valid.user_ids.tolist(), data.valid.timestamps.tolist(), strict=True))
    assert all(time >= last[user] for user, time in zip(data.test.user_ids, data.test.timestamps, strict=True))
