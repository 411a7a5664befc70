"""Behaviours of a source: named, joined, counted; what does not fit is said in one line."""

import pytest

from jaxrec.data.behaviors import (
    assign_behaviors,
    behavior_statistics,
    divide,
    drop_implied,
    parse_behaviors,
)
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.filters import apply_filters
from jaxrec.data.prepared import load_dataset
from jaxrec.errors import UserError
from tests.data.shop_events import SHOP, events, rows_of, write_events


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)


def test_of_joined_sources_the_first_event_of_a_pair_counts_however_rows_are_ordered():
    shop = events([
        (0, 0, "buy", 30), (0, 0, "view", 10), (0, 0, "cart", 20), (0, 0, "view", 11),
        (1, 0, "buy", 5), (1, 1, "cart", 7), (1, 1, "cart", 6), (1, 1, "buy", 6),
    ])  # fmt: skip
    named, record = assign_behaviors(shop, SHOP)
    assert rows_of(named) == [
        (0, 0, "click", 10), (0, 0, "favor", 20), (0, 0, "click", 11), (1, 0, "favor", 5), (1, 1, "favor", 6)
    ]  # fmt: skip
    assert record["named"] == {"click": ["view"], "favor": ["cart", "buy"]}
    assert record["repeats_of_joined"] == {"favor": 3}
    assert record["left_out"] == {}


def test_what_is_not_named_is_left_out_and_counted():
    shop = events([(0, 0, "view", 1), (0, 0, "buy", 2), (0, 1, "cart", 3), (0, 1, "cart", 4)])
    named, record = assign_behaviors(shop, ("click=view", "favor=buy"))
    assert rows_of(named) == [(0, 0, "click", 1), (0, 0, "favor", 2)]
    assert record["left_out"] == {"cart": 2}


def test_repeats_are_those_within_one_behaviour():
    shop = events([(0, 0, "view", 1), (0, 0, "view", 2), (0, 0, "buy", 3), (0, 0, "buy", 4)])
    named, _ = assign_behaviors(shop, ("click=view", "favor=buy"))
    kept, _ = apply_filters(named, FilterConfig(), by_behavior=True)
    assert rows_of(kept) == [(0, 0, "click", 1), (0, 0, "favor", 3)]
    kept, _ = apply_filters(named, FilterConfig(duplicates="last"), by_behavior=True)
    assert rows_of(kept) == [(0, 0, "click", 2), (0, 0, "favor", 4)]
    kept, _ = apply_filters(named, FilterConfig(duplicates="keep"), by_behavior=True)
    assert len(kept) == 4


@pytest.mark.parametrize(
    ("behaviors", "words"),
    [
        (("click",), ["'click'", "name=source"]),
        (("click=",), ["'click='", "name=source"]),
        (("=view",), ["'=view'", "name=source"]),
        (("click=view+",), ["'click=view+'"]),
        (("click=view", "click=buy"), ["click twice"]),
        (("click=view", "favor=view+buy"), ["view is both click and favor"]),
        (tuple(f"b{n}=s{n}" for n in range(20)), ["found 20", "up to 16"]),
    ],
)
def test_behaviours_that_no_source_could_have(behaviors, words):
    with pytest.raises(UserError) as refusal:
        parse_behaviors(behaviors)
    message = str(refusal.value)
    assert message.startswith("data.behaviors: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("header", "row", "settings", "words"),
    [
        ("user,item,behavior,timestamp", "u{0},i{0},view,{0}", {}, ["favor=cart", "the source has view"]),
        ("user,item,timestamp", "u{0},i{0},{0}", {}, ["no behaviours", "data.columns.behavior"]),
        ("user,item,behavior", "u{0},i{0},view", {"behaviors": ("a=view", "b=buy")}, ["no times"]),
        ("user,item,behavior,timestamp", "u{0},i{0},view,{0}", {"filter": FilterConfig(behavior="view")},
         ["data.filter.behavior", "data.behaviors"]),
        ("user,item,behavior,timestamp", "u{0},i{0},view,{0}", {"filter": FilterConfig(min_events=-1)},
         ["data.filter.min_events", "-1", "0 or more"]),
        ("user,item,behavior,timestamp", "u{0},i{0},view,{0}",
         {"behaviors": ("a=view",), "filter": FilterConfig(min_events=9)}, ["data.filter.min_events = 9", "none of"]),
    ],
)  # fmt: skip
def test_behaviours_that_the_source_has_not_are_named_in_one_line(tmp_path, header, row, settings, words):
    path = tmp_path / "events.csv"
    path.write_text(header + "\n" + "".join(row.format(n) + "\n" for n in range(6)))
    with pytest.raises(UserError) as refusal:
        load_dataset(DataConfig(**({"path": str(path), "behaviors": SHOP} | settings)))
    message = str(refusal.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_filter_that_takes_the_whole_target_is_said(tmp_path):
    rows = [(f"u{n % 3}", f"i{n}", "view", n) for n in range(20)] + [("u0", "i0", "buy", 99), ("u0", "i1", "cart", 99)]
    path = write_events(tmp_path / "e.csv", rows)
    with pytest.raises(UserError, match="no event of favor, the target, is left"):
        load_dataset(DataConfig(path=str(path), behaviors=SHOP, filter=FilterConfig(end_time=50)))


def test_divide_gives_the_target_and_the_others():
    shop = events([(0, 0, "view", 1), (0, 0, "buy", 2), (0, 1, "cart", 3)])
    named, _ = assign_behaviors(shop, ("look=view", "keep=cart", "favor=buy"))
    target, others = divide(named)
    assert rows_of(target) == [(0, 0, "favor", 2)]
    assert rows_of(others) == [(0, 0, "look", 1), (0, 1, "keep", 3)]
    assert behavior_statistics(named)["behaviors"]["keep"]["events"] == 1


def test_what_a_favor_implies_is_left_out_on_request():
    shop = events([
        (0, 0, "view", 1), (0, 0, "buy", 2), (0, 1, "view", 3), (1, 0, "view", 4), (1, 1, "view", 6), (1, 1, "buy", 5),
        (2, 1, "view", 7), (2, 1, "view", 9), (2, 1, "view", 12), (2, 1, "buy", 12), (2, 0, "buy", 13),
    ])  # fmt: skip
    named, _ = assign_behaviors(shop, ("click=view", "favor=buy"))
    kept, number = drop_implied(named, within=3)
    # A click that the favor came before, or that it followed too late, implies nothing.
    assert sorted(rows_of(kept)) == [
        (0, 0, "favor", 2), (0, 1, "click", 3), (1, 0, "click", 4), (1, 1, "click", 6), (1, 1, "favor", 5),
        (2, 0, "favor", 13), (2, 1, "click", 7), (2, 1, "favor", 12),
    ]  # fmt: skip
    assert number == 3
    assert drop_implied(kept, within=3) == (kept, 0)
