"""Pools out of a run: who may be a candidate, what is put in and where, and which runs are refused."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from jaxrec.data.config import DataConfig
from jaxrec.errors import UserError
from jaxrec.eval.pools import read_pools
from jaxrec.models.base import Context
from jaxrec.models.sealr_config import CandidatesConfig
from jaxrec.ranker import candidates_step
from jaxrec.ranker.candidates_step import STEP, make_pools
from jaxrec.ranker.users import halves
from tests.eval.given import GivenVectors, random_params
from tests.eval.left_out import had, left_out_dataset
from tests.precompute.fake_job import FakeJob

COUNT = 10
RESULT = {
    "name": "given", "model": "given", "config_hash": "0123456789ab", "seed": 0, "best_step": 3,
    "protocols": {"full": {"test": {"hit@10": 0.5}}}, "dataset": {"name": "tiny", "sha256": "0" * 64},
}  # fmt: skip


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def dataset(rng):
    return left_out_dataset(rng, num_users=60, num_items=40)


@pytest.fixture
def run(monkeypatch, dataset, rng):
    """A finished run whose scores are given; only what it knows before validation is there to be read."""
    params = random_params(rng, dataset)
    assembly = SimpleNamespace(mesh=None, context=lambda part: {"valid": Context()}[part])
    loaded = SimpleNamespace(dataset=dataset, model=GivenVectors(), params=params, assembly=assembly)
    monkeypatch.setattr(candidates_step, "load_run", lambda folder, notice: loaded)
    monkeypatch.setattr(candidates_step, "recorded_run", lambda folder: (None, RESULT))
    scores = np.einsum("ukd,id->ui", params["user"], params["item"]) + np.asarray(params["bias"])
    return scores


def job(dataset, **changes):
    return FakeJob(
        dataset, data=DataConfig(), candidates=CandidatesConfig(**{"retriever": "run", "count": COUNT} | changes)
    )


def test_evaluation_users_get_the_best_of_what_is_new_to_them(tmp_path, dataset, run):
    given = job(dataset)
    made = STEP.run(given, tmp_path)
    pools = read_pools(tmp_path, dataset)
    evaluated = set(halves(dataset)[1].tolist())
    assert pools.evaluation.sum() == len(evaluated) == 30
    for user in evaluated:
        train, first, last = had(dataset, user)
        best = [item for item in np.argsort(-run[user]).tolist() if item not in train | {first}]
        assert pools.item_ids[user].tolist() == best[:COUNT]
        np.testing.assert_allclose(pools.scores[user], run[user, best[:COUNT]], rtol=1e-5)
        assert pools.in_pool[user] == (last in best[:COUNT])
    counts = made.extra["counts"]
    assert counts["targets_found"] == sum(pools.in_pool[user] for user in evaluated)
    assert 0 < counts["targets_found"] < counts["evaluation_users"]
    assert counts["targets_injected"] == 0
    assert not pools.target_injected[pools.evaluation].any()
    assert "of 30 evaluation users" in given.lines[-1]


def test_tuning_users_have_both_targets_in_the_lowest_places(tmp_path, dataset, run):
    STEP.run(job(dataset), tmp_path)
    pools = read_pools(tmp_path, dataset)
    kinds = set()
    for user in np.flatnonzero(~pools.evaluation):
        train, first, last = had(dataset, user)
        best = [item for item in np.argsort(-run[user]).tolist() if item not in train][:COUNT]
        missing = [item for item in (first, last) if item not in best]
        pool = pools.item_ids[user].tolist()
        assert {first, last} <= set(pool)
        assert len(set(pool)) == COUNT
        assert [item for item in pool if item not in missing] == [item for item in best if item in pool]
        assert (pools.second_injected[user], pools.target_injected[user]) == (first in missing, last in missing)
        # What stays is the best of what had been chosen, and what is put in has no score.
        gone = [item for item in best if item not in pool]
        assert len(gone) == len(missing)
        assert all(set(best[best.index(item) :]) <= {*gone, first, last} for item in gone)
        assert np.isnan(pools.scores[user]).tolist() == [item in missing for item in pool]
        kinds.add(len(missing))
    assert kinds == {0, 1, 2}


def test_injection_is_asked_for_and_takes_the_last_place(tmp_path, dataset, run):
    STEP.run(job(dataset, inject_target=True), tmp_path)
    pools = read_pools(tmp_path, dataset)
    assert pools.in_pool.all()
    injected = np.flatnonzero(pools.evaluation & pools.target_injected)
    assert len(injected) > 5
    assert (pools.item_ids[injected, -1] == pools.target_ids[injected]).all()
    assert not (pools.evaluation & pools.second_injected).any()


def test_a_catalogue_that_is_used_up_leaves_places_empty(dataset):
    users = np.arange(60, dtype=np.int32)
    ranked = np.full((60, COUNT + 1), -1, np.int32)
    ranked[:, 0] = [
        next(i for i in range(40) if i not in had(dataset, user)[0] | set(had(dataset, user)[1:])) for user in users
    ]
    pools = make_pools(dataset, users, ranked, np.zeros(ranked.shape, np.float32), COUNT, inject_target=True)
    sizes = (pools.item_ids >= 0).sum(axis=1)
    assert sizes.tolist() == np.where(pools.evaluation, 2, 3).tolist()
    assert (pools.item_ids[:, 0] == ranked[:, 0]).all()
    assert (np.isnan(pools.scores) | (pools.item_ids >= 0)).all()


def test_identity_follows_the_run_and_the_settings(dataset, run, monkeypatch):
    settings = ({}, {"count": 11}, {"inject_target": True}, {"seed": 1})
    found = [STEP.identity(job(dataset, **changes)) for changes in settings]
    other = json.loads(json.dumps(RESULT))
    other["protocols"]["full"]["test"]["hit@10"] = 0.6
    monkeypatch.setattr(candidates_step, "recorded_run", lambda folder: (None, other))
    found.append(STEP.identity(job(dataset)))
    assert len({json.dumps(identity, sort_keys=True) for identity in found}) == 5
    assert STEP.identity(job(dataset, retriever="elsewhere")) == found[-1]


def test_runs_that_cannot_be_retrievers_are_refused(dataset, run, monkeypatch, tmp_path):
    with pytest.raises(UserError, match=r"candidates\.retriever: found none, allowed: the folder of a finished run"):
        STEP.identity(job(dataset, retriever=None))
    with pytest.raises(UserError, match=r"candidates\.count: found 41, allowed: at most 40, the items of tiny"):
        STEP.run(job(dataset, count=41), tmp_path)
    other = RESULT | {"dataset": {"name": "beauty", "sha256": "f" * 64}}
    monkeypatch.setattr(candidates_step, "recorded_run", lambda folder: (None, other))
    with pytest.raises(
        UserError, match=r"retriever: run: found a run on data beauty f{12}, allowed: one on tiny 0{12}"
    ):
        STEP.identity(job(dataset))
    monkeypatch.undo()
    with pytest.raises(UserError, match="no such run folder"):
        STEP.identity(job(dataset, retriever=str(tmp_path / "nothing")))
