"""Added training interactions: as many as asked for, where nothing stands, the same every time."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrec.data.config import ColumnsConfig, DataConfig, FilterConfig
from jaxrec.data.noise import add_noise, check_noise, noise_sentences
from jaxrec.data.prepared import dataset_sha256, load_dataset
from jaxrec.data.recipe import sha256s_of_split
from jaxrec.data.splits import split
from jaxrec.data.stable_hash import numbers
from jaxrec.data.text import load_text
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_files import write_text_features
from jaxrec.errors import UserError
from tests.data.making import NO_DEADLINE, drawn, interactions


def pairs(part):
    return list(zip(part.user_ids.tolist(), part.item_ids.tolist(), strict=True))


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    chosen = sorted({(int(u), int(i)) for u, i in rng.integers(0, (30, 50), (500, 2))})
    made = interactions(
        chosen, times=np.arange(len(chosen)), ratings=rng.integers(1, 6, len(chosen)), behavior_names=("a", "b"),
        behaviors=rng.integers(0, 2, len(chosen)),
    )  # fmt: skip
    return split(made, DataConfig())


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 1.0])
def test_the_count_is_exact_and_no_pair_stands_anywhere(parts, share):
    train = parts[0]
    noisy, number = add_noise(*parts, share, seed=0)
    assert number == round(share * len(train)) == len(noisy) - len(train)
    assert pairs(noisy)[: len(train)] == pairs(train)
    added = pairs(noisy)[len(train) :]
    real = {pair for part in parts for pair in pairs(part)}
    assert len(set(added)) == number
    assert not set(added) & real
    assert all(0 <= u < len(train.users) and 0 <= i < len(train.items) for u, i in added)
    for column in ("user_ids", "item_ids", "ratings", "timestamps", "behaviors"):
        assert getattr(noisy, column).dtype == getattr(train, column).dtype
        assert len(getattr(noisy, column)) == len(noisy)


def test_less_noise_is_the_beginning_of_more_and_a_seed_decides(parts):
    some, few = (pairs(add_noise(*parts, share, seed=0)[0]) for share in (0.3, 0.1))
    assert some[: len(few)] == few
    assert pairs(add_noise(*parts, 0.3, seed=0)[0]) == some
    others = set(pairs(add_noise(*parts, 0.3, seed=1)[0])[len(parts[0]) :])
    assert len(others & set(some[len(parts[0]) :])) < len(others) / 2


def test_pairs_are_drawn_uniformly(parts):
    """Chi-squared over users and over items, against the number of free pairs of each."""
    train = parts[0]
    taken = {pair for part in parts for pair in pairs(part)}
    counts = np.zeros((len(train.users), len(train.items)))
    for seed in range(200):
        added = pairs(add_noise(*parts, 0.2, seed)[0])[len(train) :]
        np.add.at(counts, tuple(np.asarray(added).T), 1)
    free = np.ones_like(counts)
    free[tuple(np.asarray(sorted(taken)).T)] = 0
    for axis in (0, 1):
        found, expected = counts.sum(axis), free.sum(axis) * counts.sum() / free.sum()
        assert ((found - expected) ** 2 / expected).sum() < len(found) + 5 * np.sqrt(2 * len(found))


def test_times_are_the_last_of_the_user(parts):
    train = parts[0]
    noisy, _ = add_noise(*parts, 0.5, seed=0)
    last = {user: train.timestamps[train.user_ids == user].max() for user in set(train.user_ids.tolist())}
    for user, time in zip(noisy.user_ids[len(train) :].tolist(), noisy.timestamps[len(train) :], strict=True):
        assert time == last.get(user, train.timestamps.max())


@NO_DEADLINE
@given(drawn(unique=True), st.floats(0, 3))
def test_every_free_pair_can_be_asked_for_and_not_one_more(made, share):
    empty = made.take(np.zeros(len(made), bool))
    free = len(made.users) * len(made.items) - len(made)
    if round(share * len(made)) <= free:
        noisy, number = add_noise(made, empty, empty, share, seed=3)
        assert len(set(pairs(noisy))) == len(made) + number
    else:
        with pytest.raises(UserError, match=rf"data\.noise: found .* only {free:,} are free"):
            add_noise(made, empty, empty, share, seed=3)


@pytest.mark.parametrize(("field", "value"), [("noise", -0.1), ("noise", float("nan")), ("noise_seed", -1)])
def test_a_wrong_setting_is_refused(field, value):
    with pytest.raises(UserError, match=rf"data\.{field}: found .*allowed"):
        check_noise(dataclasses.replace(DataConfig(), **{field: value}))


def test_the_stream_is_the_same_however_it_is_asked_for_and_on_every_machine():
    whole = numbers(7, 0, 100)
    np.testing.assert_array_equal(np.concatenate([numbers(7, 0, 30), numbers(7, 30, 70)]), whole)
    assert whole[:2].tolist() == [13309476754707697221, 2875738036014693257]


def test_a_dataset_with_noise_is_another_dataset_and_says_so():
    plain = load_dataset(DataConfig())
    noisy = load_dataset(DataConfig(noise=0.1))
    assert plain.sha256 != noisy.sha256 != load_dataset(DataConfig(noise=0.1, noise_seed=1)).sha256
    number = round(0.1 * len(plain.train))
    assert noisy.provenance["noise"] == {"share": 0.1, "seed": 0, "interactions": number}
    assert noisy.provenance["statistics"]["interactions"]["train"] == len(noisy.train) == len(plain.train) + number
    assert noisy.provenance["statistics"]["unseen_items"] == noisy.num_unseen_items
    assert noisy.provenance["leakage"]["shared_pairs"] == {"train_valid": 0, "train_test": 0, "valid_test": 0}
    assert pairs(noisy.test) == pairs(plain.test)
    assert sha256s_of_split(plain) == {plain.sha256}
    assert sha256s_of_split(noisy) == {plain.sha256, noisy.sha256}
    assert noise_sentences(plain.provenance) == []
    assert noise_sentences(noisy.provenance)[0].startswith(f"{number:,} training interactions that never happened")


def test_given_user_texts_of_the_split_serve_it_with_noise_too(tmp_path):
    path = tmp_path / "shop.csv"
    path.write_text("user,item\n" + "".join(f"u{u},i{(u * 3 + step) % 9}\n" for u in range(8) for step in range(5)))
    clean = DataConfig(name="shop", path=str(path), cache=str(tmp_path / "cache"))
    noisy = dataclasses.replace(clean, noise=0.2, noise_seed=4)
    made_on = load_dataset(clean)
    vectors = np.ones((9, 2), np.float32)
    write_text_features(
        tmp_path / "text", vectors, model="tower", user=vectors[:8], extra={"dataset_sha256": made_on.sha256}
    )
    given_text = TextConfig(path=str(tmp_path / "text"))
    for config in (noisy, noisy):  # made, then from the cache
        assert load_dataset(config).sha256 != made_on.sha256
        assert sha256s_of_split(load_dataset(config)) == {made_on.sha256, load_dataset(config).sha256}
        assert load_text(given_text, load_dataset(config)) is not None
    with pytest.raises(UserError, match="its user texts are of another data set or split"):
        load_text(given_text, load_dataset(dataclasses.replace(noisy, split_seed=1)))


@pytest.mark.parametrize("source", ["file", "sample"])
def test_given_user_texts_of_the_split_serve_it_with_reviews_too(tmp_path, source):
    """Whether a run reads reviews moves no interaction, so that vectors of the same split are still those."""
    plain = DataConfig(name="shop", cache=str(tmp_path / "cache"))
    if source == "file":
        rows = [f'u{u},i{(u * 3 + step) % 9},"said by {u}"' for u in range(8) for step in range(5)]
        (tmp_path / "shop.csv").write_text("\n".join(["user,item,said", *rows]) + "\n")
        plain = dataclasses.replace(plain, path=str(tmp_path / "shop.csv"))
    reviewed = dataclasses.replace(plain, reviews=True, columns=ColumnsConfig(review="said"))
    made_on = load_dataset(plain)
    users, items = made_on.num_users, made_on.num_items
    vectors = np.ones((users + items, 2), np.float32)
    extra = {"dataset_sha256": dataset_sha256(plain)}
    write_text_features(tmp_path / "text", vectors[:items], model="tower", user=vectors[:users], extra=extra)
    given_text = TextConfig(path=str(tmp_path / "text"))
    for changes in ({}, {"noise": 0.2}):
        config = dataclasses.replace(reviewed, **changes)
        for _ in range(2):  # made, then from the cache
            assert load_dataset(config).sha256 != made_on.sha256
            assert load_text(given_text, load_dataset(config)) is not None
    for changes in ({"split_seed": 1}, {"ratio": (8.0, 1.0, 1.0)}, {"filter": FilterConfig(item_core=1)}):
        with pytest.raises(UserError, match="its user texts are of another data set or split"):
            load_text(given_text, load_dataset(dataclasses.replace(reviewed, **changes)))
