"""What sources say about items: structured fields, and one text an item."""

import gzip
import json

import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.readers import amazon, read, steam, yelp
from jaxrec.data.readers.item_text import read_item_text, read_recbole_items
from jaxrec.data.readers.metadata import ItemMetadata
from jaxrec.data.readers.movielens import read_movies
from jaxrec.data.readers.problems import BadRows
from jaxrec.errors import UserError


def one(reader, path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return list(reader(path, BadRows("error")))


def test_text_joins_what_is_there():
    item = ItemMetadata("1", title="Tea", brand="Leaf", categories=("Food", "Drink"), keywords=("hot", "green"))
    assert item.text == "Tea. Leaf. Food, Drink. hot green"
    assert ItemMetadata("1").text == ""


def test_amazon_metadata_of_three_years(tmp_path):
    path = tmp_path / "meta.json"
    of_2014 = (
        "{'asin': '01', 'title': \"Girls' Tutu\", 'description': 'Pretty.', 'brand': 'Coxlures', "
        "'categories': [['Sports & Outdoors', 'Dance'], ['Sports & Outdoors', 'Girls, small']], 'imUrl': 'http://x/1.jpg'}\n"
    )
    assert one(amazon.read_metadata, path, of_2014) == [
        ItemMetadata(
            "01",
            "Girls' Tutu",
            "Pretty.",
            "Coxlures",
            ("Sports & Outdoors", "Dance", "Girls, small"),
            (),
            "http://x/1.jpg",
        )
    ]
    of_2018 = {"asin": "02", "title": "A", "description": ["one", " two "], "brand": "B", "category": ["C", "D"]}
    of_2018["imageURLHighRes"] = ["http://x/2.jpg", "http://x/3.jpg"]
    assert one(amazon.read_metadata, path, json.dumps(of_2018)) == [
        ItemMetadata("02", "A", "one two", "B", ("C", "D"), (), "http://x/2.jpg")
    ]
    of_2023 = {"parent_asin": "03", "title": "A", "description": [], "store": "S", "categories": []}
    of_2023 |= {"main_category": "Books", "images": [{"large": "http://x/l.jpg", "hi_res": None}], "price": None}
    assert one(amazon.read_metadata, path, json.dumps(of_2023)) == [
        ItemMetadata("03", "A", "", "S", ("Books",), (), "http://x/l.jpg")
    ]


def test_yelp_businesses(tmp_path):
    value = {"business_id": "b", "name": "Abby", "city": "Reno", "state": "NV", "categories": "Bars, Food , Bars"}
    items = one(
        yelp.read_businesses, tmp_path / "b.json", json.dumps(value) + "\n" + json.dumps({**value, "categories": None})
    )
    assert items[0] == ItemMetadata("b", "Abby", "Reno, NV", "", ("Bars", "Food"))
    assert items[1].categories == ()


def test_steam_games(tmp_path):
    line = (
        "{u'publisher': u'K', u'genres': [u'Action', u'Indie'], u'app_name': u'Lost \\u00e9', u'title': u'x', "
        "u'tags': [u'Strategy', u'Action'], u'specs': [u'Single-player'], u'id': u'761140', u'developer': u'Dev'}\n"
    )
    assert one(steam.read_games, tmp_path / "g.json", line) == [
        ItemMetadata("761140", "Lost é", "", "Dev", ("Action", "Indie"), ("Strategy", "Action", "Single-player"))
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_movies(tmp_path, encoding):
    text = "1::Toy Story (1995)::Animation|Comedy\r\n2::Amélie: x (2001)::Drama\r\n"
    assert one(read_movies, tmp_path / "movies.dat", text, encoding) == [
        ItemMetadata("1", "Toy Story (1995)", categories=("Animation", "Comedy")),
        ItemMetadata("2", "Amélie: x (2001)", categories=("Drama",)),
    ]


def test_recbole_items(tmp_path):
    text = "item_id:token\tmovie_title:token_seq\tyear:float\tclass:token_seq\n1\tToy  Story\t1995\tAnimation Comedy\n"
    assert one(read_recbole_items, tmp_path / "ml.item", text) == [
        ItemMetadata("1", "Toy Story", categories=("Animation Comedy",))
    ]


def test_bad_metadata_is_named_or_counted(tmp_path):
    path = tmp_path / "item_text.jsonl"
    text = '{"item": 1, "title": "a"}\n{"title": "b"}\n{"item": 2, "review": "r", "n": 3}\n'
    with pytest.raises(UserError, match=r"item_text.jsonl: line 2: found fields title; an item id is needed"):
        one(read_item_text, path, text)
    bad = BadRows("skip")
    assert [(item.raw_id, item.text) for item in read_item_text(path, bad)] == [("1", "a"), ("2", "r")]
    assert bad.count == 1
    with pytest.raises(UserError, match=r"movies.dat: line 2: found 2 fields"):
        one(read_movies, tmp_path / "movies.dat", "1::a::b\n2::c\n")


def test_text_beside_reviews_is_found(tmp_path):
    review = {"reviewerID": "u", "asin": "b1", "overall": 5.0, "unixReviewTime": 1}
    (tmp_path / "reviews_Beauty_5.json.gz").write_bytes(gzip.compress(json.dumps(review).encode()))
    meta = [{"asin": "b1", "title": "Soap"}, {"asin": "b2", "title": ""}]
    (tmp_path / "meta_Beauty.json.gz").write_bytes(gzip.compress("\n".join(map(repr, meta)).encode()))
    result = read(DataConfig(), tmp_path)
    assert result.format == "amazon"
    assert result.item_text == {"b1": "Soap"}
    assert [file.name for file in result.files] == ["reviews_Beauty_5.json.gz", "meta_Beauty.json.gz"]


def test_a_whole_yelp_and_a_whole_steam_folder(tmp_path):
    for folder in ("yelp", "steam"):
        (tmp_path / folder).mkdir()
    reviews = {"user_id": "u", "business_id": "b", "stars": 4, "date": "2018-01-01"}
    (tmp_path / "yelp" / "yelp_academic_dataset_review.json").write_text(json.dumps(reviews))
    business = {"business_id": "b", "name": "Abby", "categories": "Bars"}
    (tmp_path / "yelp" / "yelp_academic_dataset_business.json").write_text(json.dumps(business))
    (tmp_path / "yelp" / "yelp_academic_dataset_user.json").write_text("{}")
    result = read(DataConfig(), tmp_path / "yelp")
    assert (result.format, result.item_text) == ("yelp", {"b": "Abby. Bars"})
    (tmp_path / "steam" / "steam_reviews.json").write_text(
        "{u'username': u'u', u'product_id': u'7', u'date': u'2018-01-01'}"
    )
    (tmp_path / "steam" / "steam_games.json").write_text("{u'id': u'7', u'app_name': u'Go'}")
    result = read(DataConfig(), tmp_path / "steam")
    assert (result.format, result.item_text) == ("steam", {"7": "Go"})
