"""Rec-Tmall's published forms, on small files of those forms; categorical fields of items from any source."""

import gzip

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.export import export
from jaxrec.data.prepared import load_dataset
from jaxrec.data.readers import read
from tests.data.reading import AUTO, events_of, message

LOG = "tianchi_2014002_rec_tmall_log_part{}.txt"
PRODUCT = "tianchi_2014001_rec_tmall_product.txt"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))


def tmall(folder):
    """A log in two files and a table of products."""
    folder.mkdir()

    def row(*fields):
        return "\x01".join(fields) + "\n"

    first = [row("11", "u1", "click", "2014-09-17 00:00:01"), row("12", "u1", "collect", "2014-09-17 00:00:02.0")]
    second = [row("7", "u2", "cart", "2014-09-18 10:00:00"), row("11", "u2", "alipay", "2014-09-18 10:00:05")]
    (folder / LOG.format("a")).write_text("".join(first))
    (folder / LOG.format("b")).write_text("".join(second))
    products = [
        row("11", "红色 连衣裙", "http://img/11.jpg", "3-31", "b89366", "s86799"),
        row("12", "null", "", "3-32", "", "s1"),
        row("99", "没有 人 看", "", "4-41", "b2", "s2"),
    ]
    (folder / PRODUCT).write_text("".join(products), encoding="utf-8")
    return folder


def test_rec_tmall_as_it_is_published(tmp_path):
    result = read(AUTO, tmall(tmp_path / "tmall"))
    assert result.format == "rectmall"
    start = int(np.datetime64("2014-09-17T00:00:00").astype("datetime64[s]").astype(int))
    assert events_of(result.interactions) == [
        ("u1", "11", "click", start + 1),
        ("u1", "12", "collect", start + 2),
        ("u2", "7", "cart", start + 86400 + 36000),
        ("u2", "11", "alipay", start + 86400 + 36005),
    ]
    assert result.interactions.parts is None
    assert [file.name for file in result.files] == [LOG.format("a"), LOG.format("b"), PRODUCT]
    assert result.item_text == {"11": "红色 连衣裙", "99": "没有 人 看"}
    assert result.item_fields["brand"] == {"11": "b89366", "99": "b2"}
    assert result.item_fields["seller"] == {"11": "s86799", "12": "s1", "99": "s2"}
    assert result.item_fields["category"]["12"] == "3-32"


def test_rec_tmall_as_the_sample_of_its_files(tmp_path):
    folder = tmp_path / "sample"
    folder.mkdir()
    log = 'item_id,user_id,action,vtime\r\n"11","u1","click","2014-10-01 12:34:56"\r\n'
    log += "11,u1,collect,2014-10-01 12:35:00\r\n"
    (folder / "(sample)sam_tianchi_2014002_rec_tmall_log.csv.gz").write_bytes(gzip.compress(log.encode()))
    product = 'item_id,title,pict_url,category,brand_id,seller_id\n11,"红, 连衣裙",http://x,3-31,b1,s1\n'
    (folder / "(sample)sam_tianchi_2014001_rec_tmall_product.csv").write_bytes(product.encode("gb18030"))
    result = read(AUTO, folder)
    assert result.format == "rectmall"
    assert [event[:3] for event in events_of(result.interactions)] == [("u1", "11", "click"), ("u1", "11", "collect")]
    assert result.item_text == {"11": "红, 连衣裙"}
    assert result.item_fields["brand"] == {"11": "b1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("11\x01u1\x01click", ["line 3", "3 fields", "4 fields are needed (item_id, user_id, action, vtime)"]),
        ("11\x01u1\x01click\x01yesterday", ["line 3", "'vtime'", "yesterday", "a date"]),
        ("11\x01u1\x01\x012014-10-01 12:34:56", ["line 3", "'action'", "a behaviour name"]),
        ("11\x01\x01click\x012014-10-01 12:34:56", ["line 3", "'user_id'", "non-empty id"]),
    ],
)
def test_bad_rows_of_a_log_are_named(tmp_path, line, words):
    folder = tmall(tmp_path / "tmall")
    file = folder / LOG.format("a")
    file.write_text(file.read_text() + line + "\n")
    found = message(folder)
    for word in words:
        assert word in found
    result = read(DataConfig(on_bad_row="skip"), folder)
    assert result.skipped_rows == 1
    assert len(result.interactions) == 4


def test_a_bad_row_of_the_products_is_named(tmp_path):
    folder = tmall(tmp_path / "tmall")
    with (folder / PRODUCT).open("a") as stream:
        stream.write("5\x01a title\n")
    assert "line 4: found 2 fields; 6 fields are needed (item_id, title" in message(folder)


def test_item_fields_follow_the_items_and_come_back_from_the_cache(tmp_path):
    folder = tmall(tmp_path / "tmall")
    times = [f"2014-09-19 00:00:{n:02d}" for n in range(12)]
    rows = [f"{11 + n % 4}\x01u{n // 4}\x01collect\x01{times[n]}\n" for n in range(12)]
    (folder / LOG.format("c")).write_text("".join(rows))
    config = DataConfig(path=str(folder), behaviors=("click=click", "favor=collect"), split="leave_one_out")
    told = []
    for dataset in (load_dataset(config), load_dataset(config, told.append)):
        assert dataset.items.raw.tolist() == ["11", "12", "13", "14"]
        assert {name: values.tolist() for name, values in dataset.item_fields.items()} == {
            "brand": ["b89366", "", "", ""],
            "seller": ["s86799", "s1", "", ""],
            "category": ["3-31", "3-32", "", ""],
        }
        assert dataset.provenance["statistics"]["items_with_field"] == {"brand": 1, "seller": 2, "category": 2}
    assert told[0].startswith("using")
    assert dataset.provenance["behaviors"]["left_out"] == {"alipay": 1, "cart": 1}


def test_item_fields_of_any_source_and_of_what_was_exported(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    rows = [f"u{user},i{item}" for user in range(5) for item in range(5)]
    (folder / "interactions.csv").write_text("user,item\n" + "\n".join(rows) + "\n")
    lines = ['{"item": "i1", "brand": "b7", "shop": 3}', '{"item": "i2", "brand": null, "shop": " 4 "}']
    (folder / "item_fields.jsonl").write_text("\n".join(lines) + "\n")
    dataset = load_dataset(DataConfig(path=str(folder)))
    assert dataset.item_text is None
    expected = {"brand": ["", "b7", "", "", ""], "shop": ["", "3", "4", "", ""]}
    assert {name: values.tolist() for name, values in dataset.item_fields.items()} == expected
    export(dataset, tmp_path / "out")
    again = load_dataset(DataConfig(path=str(tmp_path / "out"), split="given"))
    assert {name: values.tolist() for name, values in again.item_fields.items()} == expected
    for line, words in (('{"brand": "b"}', "line 3: found fields brand; an item id"),
                        ('{"item": "i3", "brand": ["b"]}', "line 3, column 'brand': found")):  # fmt: skip
        (folder / "item_fields.jsonl").write_text("\n".join([*lines, line]) + "\n")
        assert words in message(folder)
