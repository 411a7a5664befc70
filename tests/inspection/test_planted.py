"""Errors to a planted truth, clicks by accident and compactness against cases whose answers are known."""

import dataclasses
import types

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.histories import histories
from jaxrec.data.prepared import load_dataset
from jaxrec.data.sample import CLICK, make_sample
from jaxrec.inspection.compactness import compactness, within_share
from jaxrec.inspection.planted import accident_weights, accidental_places, clean_vectors, held_out_error, item_means
from jaxrec.inspection.readings import Readings

LENGTH = 6


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)


def sample_run(**settings):
    config = DataConfig(behaviors=("click=click", "favor=favor"), split="leave_one_out", **settings)
    return types.SimpleNamespace(dataset=load_dataset(config))


def read(dataset, removed=None):
    """Readings of everything that the sample's users did, without a model."""
    tables = np.stack(histories(dataset, "serve", LENGTH), axis=1)
    nothing = np.zeros(0, np.float32)
    return Readings(
        users=np.arange(dataset.num_users, dtype=np.int32),
        histories=tables,
        behaviors=dataset.behavior_names,
        features={},
        modality_denoised={},
        denoised={},
        attention=None,
        removed=nothing if removed is None else removed,
        summands=None,
        gate=None,
        experts=(),
        seconds_per_user=0.0,
    )


@pytest.mark.parametrize("implied", ["keep", "drop"])
def test_accidents_are_those_that_were_planted(implied):
    run = sample_run(implied=implied)
    readings = read(run.dataset)
    accidents = accidental_places(run, readings)
    assert not (accidents & ~readings.events(0)).any()
    sample = make_sample()
    planted = sample.truth.accidental_clicks & (sample.events.behaviors == CLICK)
    by_pair = {}
    for user, item, accident in zip(sample.events.user_ids, sample.events.item_ids, planted, strict=True):
        if accident or (user, item) not in by_pair:
            by_pair.setdefault((user, item), set()).add(bool(accident))
    users = sample.events.users.encode(run.dataset.users.raw)
    items = sample.events.items.encode(run.dataset.items.raw)
    for row, place in np.argwhere(readings.events(0))[::7]:
        pair = users[readings.users[row]], items[readings.histories[row, 0, place] - 1]
        assert bool(accidents[row, place]) in by_pair[pair]
    # Two clicks in ten of all, a third of those that led to no favor.
    share = accidents.sum() / readings.events(0).sum()
    assert share == pytest.approx(0.18 if implied == "keep" else 0.33, abs=0.04)


def test_weights_of_accidents_are_means_over_users():
    run = sample_run(implied="drop")
    accidents = accidental_places(run, read(run.dataset))
    noise = np.random.default_rng(0).normal(0, 0.01, accidents.shape)
    readings = read(run.dataset, np.where(accidents, 0.2, 0.5) + noise)
    (found,) = accident_weights(run, readings)
    assert found["measure"] == "removed"
    assert found["accidental"] == pytest.approx(0.2, abs=0.005)
    assert found["real"] == pytest.approx(0.5, abs=0.005)
    assert found["t_test"] < 1e-10
    assert 0 < found["num_users"] < run.dataset.num_users


def test_clean_vectors_are_the_given_ones_without_noise():
    run = sample_run()
    clean, sample = clean_vectors(run.dataset), make_sample()
    places = sample.interactions.items.encode(run.dataset.items.raw)
    for name, given, least in (("image", sample.image_vectors, 0.5), ("text", sample.text_vectors, 0.7)):
        cosines = (clean[name] * given[places]).sum(1)
        assert np.linalg.norm(clean[name], axis=1) == pytest.approx(np.ones(len(places)), abs=1e-5)
        assert least < cosines.mean() < 0.99
    # A vector is a linear map of what was planted, but for its length.
    truth = np.concatenate([sample.truth.item_motivations, sample.truth.taste.item_themes], axis=1)
    same = np.flatnonzero((truth == truth[0]).all(1))
    assert np.allclose(sample.truth.text_vectors[same], sample.truth.text_vectors[0])


def test_a_map_fitted_on_some_items_is_judged_on_the_others():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(60, 5))
    item_ids = np.repeat(np.arange(60), 4)
    exact = (truth @ rng.normal(size=(5, 8)))[item_ids]
    assert held_out_error(exact, item_ids, truth) < 1e-4
    noisy = held_out_error(exact + rng.normal(0, 0.5, exact.shape), item_ids, truth)
    noisier = held_out_error(exact + rng.normal(0, 2.0, exact.shape), item_ids, truth)
    assert 1e-3 < noisy < noisier < 1.2 * np.square(truth).mean()
    # Rows that say which item it is, and nothing else, say nothing of items that were not seen.
    names = rng.normal(size=(60, 59))[item_ids]
    assert held_out_error(names, item_ids, truth) > 0.8 * np.square(truth).mean()


def test_means_of_items_are_those_of_their_rows():
    items, means = item_means(np.array([4, 2, 4]), np.array([[1.0, 3.0], [5.0, 5.0], [3.0, 1.0]]))
    assert items.tolist() == [2, 4]
    assert means.tolist() == [[5.0, 5.0], [2.0, 2.0]]


def test_clusters_are_compact_and_noise_is_not():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(8), 30)
    clusters = rng.normal(size=(8, 16))[labels] + rng.normal(0, 0.1, (240, 16))
    cloud = rng.normal(size=(240, 16))
    assert compactness(clusters) < 0.2 < 0.5 < compactness(cloud) < 1
    assert within_share(clusters, labels) < 0.05
    assert within_share(cloud, labels) > 0.9
    assert compactness(3 * clusters + 1) == pytest.approx(compactness(clusters))


def test_readings_hold_the_rows_of_events_in_one_order():
    dataset = sample_run(implied="drop").dataset
    readings = read(dataset)
    values = np.arange(readings.histories.size, dtype=np.float64).reshape(*readings.histories.shape, 1)
    rows = dataclasses.replace(readings, features={"text": values}).rows(values, 1)
    assert len(rows) == len(readings.item_ids(1)) == readings.events(1).sum()
    assert (readings.item_ids(1) >= 0).all()
