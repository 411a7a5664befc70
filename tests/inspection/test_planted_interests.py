"""Interests, gates and agents against the sample's truth: what was planted is found, what is chance is chance."""

import dataclasses
import functools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.histories import histories
from jaxrec.data.prepared import load_dataset
from jaxrec.data.sample import make_sample
from jaxrec.errors import UserError
from jaxrec.inspection.interests import InterestReadings, read_interests
from jaxrec.inspection.interests_page import agents, draw_interests, inspect_interests, interests_as_markdown
from jaxrec.inspection.planted_interests import LABELS, favor_reasons, favoured, field_records, own_items, purities
from jaxrec.models.base import Context
from jaxrec.models.bprmf import BPRMF, BPRMFConfig
from jaxrec.models.uim import UiM, UiMConfig

LENGTH, NUM_INTERESTS, NUM_USERS = 20, 3, 400


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("JAXREC_DATA", raising=False)


@functools.cache
def sample_data():
    return load_dataset(DataConfig(split="ratio", ratio=(8.0, 1.0, 1.0), order="temporal")), make_sample()


def read(coupling=None, **changes):
    """Readings of some users, routed by a coupling [U, L, K], at random without one."""
    dataset, _ = sample_data()
    table = histories(dataset, "test", LENGTH)[0][:NUM_USERS]
    shape = len(table), LENGTH
    if coupling is None:
        coupling = np.random.default_rng(0).dirichlet(np.ones(NUM_INTERESTS), shape)
    readings = InterestReadings(
        users=np.arange(len(table), dtype=np.int32),
        histories=table,
        coupling=coupling,
        item_gates=np.ones(shape, np.float32),
        field_gates=np.zeros((len(table), NUM_INTERESTS, 0)),
        fields=(),
        moved=np.zeros((len(table), 0)),
        winners=np.tile(np.array([0, 1, 1, 0], np.int32), (len(table), 1)),
        items=np.random.default_rng(1).normal(size=(dataset.num_items, 4)),
    )
    return dataclasses.replace(readings, **changes)


def by_label(readings):
    return {record["label"]: record for record in purities(sample_data()[0], readings)}


def test_reasons_are_those_that_were_planted():
    dataset, sample = sample_data()
    readings = read()
    reasons = favor_reasons(sample, dataset, readings)
    assert np.array_equal(reasons >= 0, readings.real)
    favors = sample.interactions
    users, items = favors.users.raw[favors.user_ids].tolist(), favors.items.raw[favors.item_ids].tolist()
    planted = dict(zip(zip(users, items, strict=True), sample.truth.favor_reasons.tolist(), strict=True))
    for row, place in np.argwhere(readings.real)[::97]:
        raw = str(dataset.users.raw[row]), str(dataset.items.raw[readings.histories[row, place] - 1])
        assert reasons[row, place] == planted[raw]


def test_routing_by_the_planted_reason_is_pure_and_routing_at_random_is_chance():
    dataset, sample = sample_data()
    reasons = favor_reasons(sample, dataset, read())
    # A user has at most three motivations, so each has a group of its own.
    own = np.argsort(-sample.truth.user_motivations, axis=1, kind="stable")[:, :NUM_INTERESTS]
    places = sample.interactions.users.encode(dataset.users.raw)[:NUM_USERS]
    coupling = (reasons[..., None] == own[places][:, None, :]).astype(np.float64)
    planted, random = by_label(read(coupling)), by_label(read())
    assert tuple(planted) == LABELS
    assert planted["reason"]["purity"] == planted["reason"]["best"] == 1.0
    assert planted["reason shown"]["num_items"] < planted["reason"]["num_items"]
    for name in LABELS:
        assert random[name]["purity"] == pytest.approx(random[name]["chance"], abs=0.02)
        assert random[name]["single"] <= random[name]["chance"] < random[name]["best"]
        assert name == "theme" or planted[name]["purity"] > planted[name]["chance"] + 0.02
        assert random[name]["k_means_planted"] > random[name]["chance"] + 0.05
        assert random[name]["k_means_learned"] == pytest.approx(random[name]["chance"], abs=0.03)
    # Most items have a motivation that none of three groups of a user can be about: no routing reaches 0.8.
    assert 0.65 < random["motivation"]["best"] < 0.8


def test_vectors_that_tell_motivations_make_pure_groups():
    dataset, sample = sample_data()
    weights = sample.truth.item_motivations[sample.interactions.items.encode(dataset.items.raw)]
    found = by_label(read(items=weights))["motivation"]
    assert found["k_means_learned"] == found["k_means_planted"]


def test_fields_tell_what_they_were_planted_with_and_those_that_weigh_more_are_found():
    dataset, sample = sample_data()
    users = sample.interactions.users.encode(dataset.users.raw)
    names = ("activity", "gender", "income", "occupation")
    codes = {
        "activity": np.random.default_rng(0).integers(1, 4, len(users)),
        "gender": sample.demographics["gender"][users].astype(np.int64) + 1,
        "income": np.ones(len(users), np.int64),
        "occupation": sample.demographics["occupation"][users].astype(np.int64) + 1,
    }
    noise = np.random.default_rng(1).normal(0, 0.01, (NUM_USERS, NUM_INTERESTS, 4))
    gates = np.array([0.3, 0.5, 0.4, 0.7]) + noise
    moved = np.tile(np.array([0.2, 0.1, 0.0, 0.1]), (NUM_USERS, 1))
    readings = read(fields=names, field_gates=gates, moved=moved + noise[:, 0])
    records = {record["field"]: record for record in field_records(dataset, readings, codes)}
    assert [records[name]["kind"] for name in names] == ["mined", "trait", "derived", "trait"]
    assert records["occupation"]["tells"] > 0.1 > abs(records["activity"]["tells"])
    assert records["income"]["tells"] == 0.0
    gate, moving = favoured(readings, list(records.values()))
    assert (gate["measure"], moving["measure"]) == ("gate", "moved")
    assert (gate["trait"], gate["mined"]) == pytest.approx((0.6, 0.3), abs=0.01)
    assert (gate["share_of_users"], moving["share_of_users"]) == (1.0, 0.0)
    assert gate["t_test"] < 1e-10


def test_weights_of_items_that_serve_the_user_are_told_from_others():
    dataset, sample = sample_data()
    readings = read()
    users = sample.interactions.users.encode(dataset.users.raw)[:NUM_USERS]
    items = readings.of_items(sample.interactions.items.encode(dataset.items.raw))
    shared = np.einsum("um,ulm->ul", sample.truth.user_motivations[users], sample.truth.item_motivations[items])
    found = own_items(dataset, dataclasses.replace(readings, item_gates=np.where(shared > 0, 0.75, 0.25)))
    assert (found["own"], found["other"]) == (0.75, 0.25)
    assert 0 < found["num_users"] <= len(users)


@pytest.fixture(scope="module")
def run():
    """A run of UiM that was never trained, with two fields of profiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAXREC_DATA", raising=False)
        dataset, _ = sample_data()
    (table,) = histories(dataset, "test", 6)
    rng = np.random.default_rng(0)
    fields = {"gender": rng.integers(1, 3, dataset.num_users), "activity": rng.integers(1, 4, dataset.num_users)}
    ctx = Context(
        item_counts=jnp.ones(dataset.num_items, jnp.int32),
        histories=(jnp.asarray(table),),
        item_features={},
        item_feature_masks={},
        user_fields={name: jnp.asarray(fields[name], jnp.int32) for name in sorted(fields)},
        user_field_sizes=(4, 3),
        user_numbers={},
        user_number_masks={},
    )
    model = UiM(UiMConfig(dim=8, max_length=6, backbone="fusion"), dataset.num_users, dataset.num_items)
    return types.SimpleNamespace(
        model=model,
        dataset=dataset,
        ctx=ctx,
        params=model.init(jax.random.key(0), ctx)[0],
        experiment=types.SimpleNamespace(model=model.config),
        assembly=types.SimpleNamespace(context=lambda part: ctx, profiles=types.SimpleNamespace(codes=fields)),
    )


def test_a_run_is_read_measured_written_and_drawn(run, tmp_path):
    readings = read_interests(run)
    assert readings.coupling[readings.real].sum(-1) == pytest.approx(np.ones(readings.real.sum()), abs=1e-5)
    assert (readings.groups >= 0).sum() == readings.real.sum()
    assert readings.fields == ("activity", "gender")
    assert ((readings.moved > 0).mean(0) > 0.3).all()
    refined = {"agent": "oracle", "simulation": True, "top": 10, "protocol": "multi_target_full", "num_users": 5}
    refined |= {"before": {"hit@10": 0.2, "ndcg@10": 0.1}, "after": {"hit@10": 0.3, "ndcg@10": 0.2}}
    refined |= {"tests": {"hit@10": {"t_test": 0.01}, "ndcg@10": {"t_test": 0.02}}}
    (tmp_path / "refinement-oracle-top10-0.json").write_text(json.dumps(refined))
    record = {"run": "uim"} | inspect_interests(run, readings, tmp_path)
    assert agents(tmp_path)[0]["metrics"]["hit@10"] == {"before": 0.2, "after": 0.3, "t_test": 0.01}
    assert sum(record["sizes"]) == pytest.approx(1.0)
    assert 0 < record["entropy"] <= 1
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    page = interests_as_markdown(record)
    assert "a simulation" in page
    assert "| the reason of the favor |" in page
    assert "| gender | trait |" in page
    pytest.importorskip("matplotlib")
    assert draw_interests(record, tmp_path / "interests.png")
    assert (tmp_path / "interests.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_of_another_model_says_what_is_allowed(run):
    other = types.SimpleNamespace(**vars(run) | {"model": BPRMF(BPRMFConfig(), 2, 2)})
    other.experiment = types.SimpleNamespace(model=BPRMFConfig())
    with pytest.raises(UserError, match="found a run of bprmf, allowed: m3bsr, uim, comirec"):
        read_interests(other)
