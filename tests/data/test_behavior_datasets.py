"""Data sets of several behaviours: target and other events, statistics, what is left out, the cache, the hash."""

import dataclasses

import numpy as np
import pytest

from jaxrec.data.behaviors import (
    behavior_sentences,
)
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.histories import histories
from jaxrec.data.prepared import dataset_sha256, load_dataset
from jaxrec.data.training_targets import training_targets
from jaxrec.errors import UserError
from tests.data.shop_events import SHOP, many, write_events


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)


def test_a_joined_behaviour_keeps_the_first_even_where_repeats_are_kept(tmp_path):
    path = write_events(tmp_path / "events.csv", many())
    config = DataConfig(path=str(path), behaviors=SHOP, split="leave_one_out", filter=FilterConfig(duplicates="keep"))
    dataset = load_dataset(config)
    assert dataset.provenance["behaviors"]["statistics"]["behaviors"]["favor"]["events"] == 20
    times = np.concatenate([part.timestamps for part in (dataset.train, dataset.valid, dataset.test)])
    assert set((times % 100).tolist()) == {1}  # the cart's


def test_target_and_auxiliary_share_one_pair_of_id_maps(tmp_path):
    rows = [*many(), ("only_views", "unbought", "view", 7)]
    dataset = load_dataset(DataConfig(path=str(write_events(tmp_path / "e.csv", rows)), behaviors=SHOP,
                                      split="leave_one_out"))  # fmt: skip
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [12, 4, 4]
    assert dataset.behavior_names == ("click", "favor")
    assert dataset.num_behaviors == 2
    assert dataset.num_events == 41
    auxiliary = dataset.auxiliary
    assert len(auxiliary) == 21
    assert set(auxiliary.behaviors.tolist()) == {0}
    assert set(dataset.train.behaviors.tolist()) == {1}
    assert auxiliary.users is dataset.users
    assert auxiliary.items is dataset.items
    assert "unbought" in dataset.items.raw.tolist()
    assert dataset.provenance["statistics"]["density"] == 20 / (5 * 6)
    statistics = dataset.provenance["behaviors"]["statistics"]
    assert (statistics["users"], statistics["items"], statistics["events"]) == (5, 6, 41)
    assert statistics["least_per_user"] == 1
    assert statistics["behaviors"]["click"] == {
        "events": 21, "users": 5, "items": 6, "mean_per_user": 4.2, "least_per_user": 1, "most_per_user": 5
    }  # fmt: skip
    assert statistics["behaviors"]["favor"]["mean_per_user"] == 4.0
    assert statistics["behaviors"]["favor"]["least_per_user"] == 0


def test_one_named_behaviour_is_a_target_alone(tmp_path):
    path = write_events(tmp_path / "e.csv", many())
    dataset = load_dataset(DataConfig(path=str(path), behaviors=("favor=cart+buy",), split="leave_one_out"))
    assert dataset.auxiliary is None
    assert dataset.num_behaviors == 1
    assert dataset.num_events == 20
    assert dataset.provenance["behaviors"]["left_out"] == {"view": 20}


def test_users_with_few_events_over_all_behaviours_are_left_out(tmp_path):
    rows = [*many(3), ("few", "i0", "view", 1), ("few", "i1", "view", 2), ("few", "i0", "buy", 3)]
    path = str(write_events(tmp_path / "e.csv", rows))
    whole = load_dataset(DataConfig(path=path, behaviors=SHOP, split="leave_one_out"))
    assert whole.num_users == 4
    enough = DataConfig(path=path, behaviors=SHOP, split="leave_one_out", filter=FilterConfig(min_events=4))
    dataset = load_dataset(enough)
    assert "few" not in dataset.users.raw.tolist()
    assert dataset.num_users == 3
    step = dataset.provenance["steps"][-1]
    assert (step["step"], step["setting"]) == ("min_events", 4)
    assert step["before"]["users"] - step["after"]["users"] == 1
    three = dataclasses.replace(enough, filter=FilterConfig(min_events=3))
    assert load_dataset(three).num_users == 4


def test_settings_at_rest_leave_the_hash_as_it_was(tmp_path):
    # Hashes of the sample from before there were behaviours.
    assert dataset_sha256(DataConfig())[:16] == "5d029bfa95a15288"
    assert dataset_sha256(DataConfig(split="leave_one_out"))[:16] == "5421e44d39a6f089"
    others = [
        DataConfig(behaviors=("favor=favor",)),
        DataConfig(behaviors=("click=click", "favor=favor")),
        DataConfig(filter=FilterConfig(min_events=2)),
    ]
    assert len({dataset_sha256(config) for config in [DataConfig(), *others]}) == 4


def test_the_sample_has_its_clicks_where_they_are_named():
    plain = load_dataset(DataConfig(split="leave_one_out"))
    dataset = load_dataset(DataConfig(split="leave_one_out", behaviors=("click=click", "favor=favor"), reviews=True))
    assert plain.auxiliary is None
    for name in ("train", "valid", "test"):
        one, other = getattr(plain, name), getattr(dataset, name)
        np.testing.assert_array_equal(one.user_ids, other.user_ids)
        np.testing.assert_array_equal(one.item_ids, other.item_ids)
        np.testing.assert_array_equal(one.timestamps, other.timestamps)
        np.testing.assert_array_equal(one.ratings, other.ratings)
    np.testing.assert_array_equal(plain.items.raw, dataset.items.raw)
    assert dataset.item_text == plain.item_text
    assert 40_000 < len(dataset.auxiliary) < 60_000
    assert dataset.auxiliary.ratings is None
    reviewed = load_dataset(DataConfig(split="leave_one_out", reviews=True))
    for name in ("train", "valid", "test"):
        written, given = getattr(dataset, name).reviews, getattr(reviewed, name).reviews
        assert [dataset.reviews[row] for row in written[written >= 0]] == [
            reviewed.reviews[row] for row in given[given >= 0]
        ]


def test_auxiliary_events_come_back_from_the_cache(tmp_path):
    config = DataConfig(path=str(write_events(tmp_path / "e.csv", many())), behaviors=SHOP, split="leave_one_out")
    told = []
    first, again = load_dataset(config), load_dataset(config, told.append)
    assert told[0].startswith("using")
    assert again.provenance == first.provenance
    assert again.behavior_names == first.behavior_names
    for column in ("user_ids", "item_ids", "timestamps", "behaviors"):
        np.testing.assert_array_equal(getattr(again.auxiliary, column), getattr(first.auxiliary, column))
    assert again.auxiliary.ratings is None


def test_a_catalogue_of_one_item_and_a_user_with_only_the_target(tmp_path):
    rows = [("a", "only", "buy", 1), ("a", "only", "buy", 2), ("a", "only", "buy", 3), ("b", "only", "buy", 4)]
    path = str(write_events(tmp_path / "e.csv", rows))
    # With the default every repeat goes, and nothing is left to hold out.
    with pytest.raises(UserError, match="no user has 3 interactions"):
        load_dataset(DataConfig(path=path, behaviors=("favor=buy",), split="leave_one_out"))
    kept = DataConfig(
        path=path, behaviors=("favor=buy",), split="leave_one_out", filter=FilterConfig(duplicates="keep")
    )
    dataset = load_dataset(kept)
    assert dataset.num_items == 1
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [2, 1, 1]
    with pytest.raises(UserError, match="none of 2 training interactions has an event before it"):
        training_targets(dataset, 5)


def test_a_divided_source_keeps_its_parts_and_its_other_behaviours_are_one_table(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    write_events(folder / "train.csv", [("a", "x", "view", 1), ("a", "x", "buy", 2), ("b", "y", "buy", 3)])
    write_events(folder / "valid.csv", [("a", "y", "buy", 5), ("a", "y", "view", 4)])
    write_events(folder / "test.csv", [("a", "z", "view", 6), ("a", "z", "buy", 7), ("b", "x", "buy", 8)])
    config = DataConfig(path=str(folder), behaviors=("click=view", "favor=buy"), split="given")
    dataset = load_dataset(config)
    assert [len(part) for part in (dataset.train, dataset.valid, dataset.test)] == [2, 1, 2]
    assert dataset.auxiliary.timestamps.tolist() == [1, 4, 6]
    assert dataset.auxiliary.parts is None
    clicks, favors = histories(dataset, "test", 3)
    x, y, z = dataset.items.encode(["x", "y", "z"]) + 1
    a = dataset.users.encode(["a"])[0]
    assert clicks[a].tolist() == [x, y, z]
    assert favors[a].tolist() == [0, x, y]
    pooled = load_dataset(dataclasses.replace(config, split="leave_one_out", pool=True))
    assert [len(part) for part in (pooled.train, pooled.valid, pooled.test)] == [3, 1, 1]
    assert len(pooled.auxiliary) == 3


def test_noise_is_of_the_target_and_of_no_other_behaviour(tmp_path):
    path = str(write_events(tmp_path / "e.csv", many(3) + [("u9", f"i{n}", "view", n) for n in range(9)]))
    dataset = load_dataset(DataConfig(path=path, behaviors=SHOP, split="leave_one_out", noise=0.5))
    assert len(dataset.train) == 9 + 4
    assert set(dataset.train.behaviors.tolist()) == {1}
    assert len(dataset.auxiliary) == 24
    assert len(training_targets(dataset, 50)) > 0


def test_implied_events_of_a_source_are_counted_and_belong_to_the_hash(tmp_path):
    clicks = [(f"u{user}", f"i{user}x", "view", 7) for user in range(4)]
    path = str(write_events(tmp_path / "shop.csv", many() + clicks))
    config = DataConfig(path=path, behaviors=SHOP, split="leave_one_out")
    dropped = dataclasses.replace(config, implied="drop")
    dataset = load_dataset(dropped)
    assert len(dataset.auxiliary) == 4
    assert dataset.provenance["behaviors"]["implied"] == 20
    assert any(line.startswith("20 events were left out") for line in behavior_sentences(dataset.provenance))
    assert dataset_sha256(dropped) != dataset_sha256(config)
    with pytest.raises(UserError, match=r"data\.implied: found drop, allowed: keep"):
        load_dataset(dataclasses.replace(dropped, behaviors=("favor=cart+buy",)))
    with pytest.raises(UserError, match=r"data\.implied_within: found -1, allowed: 0 seconds or more"):
        load_dataset(dataclasses.replace(dropped, implied_within=-1))


@pytest.mark.real_data
def test_retail_rocket(real_data):
    config = DataConfig(
        path=str(real_data / "retail_rocket"), behaviors=("click=0", "favor=1+2"), split="leave_one_out"
    )
    dataset = load_dataset(config)
    statistics = dataset.provenance["behaviors"]["statistics"]
    assert (statistics["users"], statistics["items"], statistics["events"]) == (2174, 29905, 88602)
    assert [statistics["behaviors"][name]["events"] for name in ("click", "favor")] == [75374, 13228]
    assert dataset.provenance["behaviors"]["repeats_of_joined"] == {"favor": 8779}
    assert len(dataset.test) == 746
    targets = training_targets(dataset, 50)
    assert all(((ends - starts) <= 50).all() for starts, ends in zip(targets.starts, targets.ends, strict=True))
    more = load_dataset(dataclasses.replace(config, leave_one_out_from=1))
    assert len(more.test) == 2174
