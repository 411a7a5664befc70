"""Review texts out of the raw sources, row by row; and files inside a zip."""

import gzip
import json
import zipfile

import numpy as np
import polars as pl
import pytest

from jaxrec.data.config import ColumnsConfig, DataConfig
from jaxrec.data.packed_text import PackedText
from jaxrec.data.readers import read
from jaxrec.errors import UserError

SAID = ('Soft, and "warm"\nin winter', None, "  ", "[not bad] – très bien")


def texts_of(result):
    """(raw user, raw item) -> text, None where there is none."""
    rows, table = result.interactions, result.reviews
    users, items = rows.users.decode(rows.user_ids).tolist(), rows.items.decode(rows.item_ids).tolist()
    said = [None if row < 0 else table[row] for row in rows.reviews.tolist()]
    return dict(zip(zip(users, items, strict=True), said, strict=True))


def expected(said=SAID):
    return {(f"u{n}", f"i{n % 2}"): text if text and text.strip() else None for n, text in enumerate(said)}


def lines(layout, said=SAID):
    for number, text in enumerate(said):
        user, item, field, extra = layout
        record = {user: f"u{number}", item: f"i{number % 2}"} | extra
        yield record | ({} if text is None else {field: text})


AMAZON_2018 = ("reviewerID", "asin", "reviewText", {"overall": 4.0, "unixReviewTime": 1_500_000_000})
AMAZON_2023 = ("user_id", "parent_asin", "text", {"rating": 4.0, "timestamp": 1_500_000_000_000})
YELP = ("user_id", "business_id", "text", {"stars": 4.0, "date": "2018-01-31 10:00:00"})
STEAM = ("username", "product_id", "text", {"date": "2018-01-31"})


@pytest.mark.parametrize("layout", [AMAZON_2018, AMAZON_2023, YELP, STEAM])
@pytest.mark.parametrize("form", ["json", "literals"])
def test_json_lines(tmp_path, layout, form):
    path = tmp_path / "reviews.json.gz"
    text = "".join((json.dumps(line) if form == "json" else repr(line)) + "\n" for line in lines(layout))
    path.write_bytes(gzip.compress(text.encode()))
    result = read(DataConfig(reviews=True), path)
    assert texts_of(result) == expected()
    assert len(result.reviews) == 2
    without = read(DataConfig(), path)
    assert without.reviews is None
    assert without.interactions.reviews is None


@pytest.mark.parametrize("broken", [False, True])
def test_half_a_surrogate_pair_and_a_nested_text(tmp_path, broken):
    path = tmp_path / "reviews.json"
    said = ("cut \ud83d", ["two", "parts"], "plain")
    text = "".join(json.dumps(line) + "\n" for line in lines(AMAZON_2018, said)) + "{broken\n" * broken
    path.write_text(text)
    got = texts_of(read(DataConfig(reviews=True, on_bad_row="skip"), path))
    assert got["u0", "i0"].startswith("cut")
    assert got["u1", "i1"] == '["two", "parts"]'
    assert got["u2", "i0"] == "plain"


def table(review="review"):
    columns = {"user": [f"u{n}" for n in range(4)], "item": [f"i{n % 2}" for n in range(4)], "rating": [3.0] * 4}
    return pl.DataFrame(columns | {review: SAID})


@pytest.mark.parametrize("form", ["csv", "csv of plain words", "tsv", "parquet", "renamed"])
def test_tables(tmp_path, form):
    path = tmp_path / f"events.{'parquet' if form == 'parquet' else 'tsv' if form == 'tsv' else 'csv'}"
    said, columns = SAID, ColumnsConfig(review="opinion" if form == "renamed" else "review")
    frame = table(columns.review)
    if form == "csv of plain words":
        said = ("warm", None, " ", "très bien")
        frame = frame.with_columns(review=pl.Series(said))
    if form == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if form == "tsv" else ",")
    assert texts_of(read(DataConfig(reviews=True, columns=columns), path)) == expected(said)
    # Without reviews their column is not looked at, whatever it is called.
    assert read(DataConfig(columns=columns), path).reviews is None


def test_recbole(tmp_path):
    path = tmp_path / "x.inter"
    path.write_text("user_id:token\titem_id:token\treview:token_seq\nu0\ti0\twarm and soft\nu1\ti1\t\n")
    assert texts_of(read(DataConfig(reviews=True), path)) == {("u0", "i0"): "warm and soft", ("u1", "i1"): None}


def refused(path, **settings):
    with pytest.raises(UserError) as caught:
        read(DataConfig(**settings), path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sources_without_reviews(tmp_path):
    csv = tmp_path / "events.csv"
    csv.write_text("user,item,opinions\na,b,c\n")
    message = refused(csv, reviews=True)
    assert "no column 'review'" in message
    assert "--data.columns.review" in message
    sequences = tmp_path / "sequences.txt"
    sequences.write_text("1 2 3\n")
    message = refused(sequences, reviews=True)
    assert "data.reviews" in message
    assert "sequences" in message
    silent = tmp_path / "reviews.json"
    silent.write_text("".join(json.dumps(line) + "\n" for line in lines(YELP, (None, " "))))
    assert "no review text in 2 rows" in refused(silent, reviews=True)


# Files inside a zip


def test_csv_in_a_zip(tmp_path):
    path = tmp_path / "shop.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", table().write_csv())
        archive.writestr("__MACOSX/._inside.csv", "nothing of ours")
    assert texts_of(read(DataConfig(reviews=True), path)) == expected()
    assert texts_of(read(DataConfig(reviews=True), tmp_path)) == expected()


def test_zips_that_cannot_be_read(tmp_path):
    several, cut, other = tmp_path / "several.csv.zip", tmp_path / "cut.csv.zip", tmp_path / "other.csv"
    with zipfile.ZipFile(several, "w") as archive:
        archive.writestr("one.csv", "user,item\na,b\n")
        archive.writestr("two.csv", "user,item\na,b\n")
    assert "found 2 files in a zip" in refused(several)
    with zipfile.ZipFile(cut, "w") as archive:
        archive.writestr("one.csv", "user,item\n" + "a,b\n" * 1000)
    cut.write_bytes(cut.read_bytes()[:-40])
    assert "damaged zip" in refused(cut)
    other.write_text("PK,user,item\n1,a,b\n")
    assert len(read(DataConfig(), other).interactions) == 1


# The table of texts


def test_packed_texts():
    texts = ("warm", "", "très \ud83d bien", "x")
    packed = PackedText.pack(texts)
    assert [packed[row] for row in range(4)] == list(texts)
    taken = packed.take(np.array([2, 1, 0]))
    assert [taken[row] for row in range(3)] == [texts[2], texts[1], texts[0]]
    assert len(packed.take(np.array([], int))) == 0
    for row in (-1, 4):
        with pytest.raises(IndexError):
            packed[row]


# Real data


@pytest.mark.real_data
def test_real_reviews(real_data):
    beauty = read(DataConfig(reviews=True), real_data / "reviews" / "All_Beauty_5.json.gz")
    assert len(beauty.interactions) == 5_269
    assert beauty.reviews[beauty.interactions.reviews[0]] == "As advertised. Reasonably priced"
    columns = ColumnsConfig(user="user_id", item="business_id", rating="stars", review="text")
    yelp = read(DataConfig(reviews=True, columns=columns), real_data / "reviews" / "yelp_10k.csv.zip")
    assert len(yelp.interactions) == 10_000
    first = yelp.reviews[yelp.interactions.reviews[0]]
    assert first.startswith("My wife took me here on my birthday for breakfast")
    assert '"toast"' in first
