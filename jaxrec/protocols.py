"""A trained model under every protocol of its experiment: what result.json says of each, and what is kept beside it."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from jaxrec.assembly import Assembly
from jaxrec.data.histories import histories
from jaxrec.eval.config import Protocol
from jaxrec.eval.identities import impossibilities
from jaxrec.eval.protocols import AnyRanking, cold_start_rows, make_ranking, slice_metrics
from jaxrec.eval.ranking import Evaluation
from jaxrec.eval.references import expected_of_each, popularity_reference, random_reference, repeat_last_reference
from jaxrec.eval.retrieved_ranking import RetrievedRanking
from jaxrec.eval.sampled_ranking import SampledRanking
from jaxrec.eval.significance import paired_difference
from jaxrec.models.base import Context, Params
from jaxrec.train.mesh import replicate

REPEATED = 50
"""Events that `repeat_last` looks back on."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ranked:
    """One protocol's evaluations of both parts, its part of result.json, and its rankings."""

    valid: Evaluation
    test: Evaluation
    record: dict[str, Any]
    rankings: tuple[AnyRanking, AnyRanking]


def rank_protocols(assembly: Assembly, params: Params, valid: AnyRanking | None = None) -> dict[Protocol, Ranked]:
    """Every protocol of the experiment, in its order. valid: the first one's ranking of valid, where it exists."""
    ranked: dict[Protocol, Ranked] = {}
    for protocol in assembly.experiment.eval.protocols:
        ranked[protocol] = _rank(assembly, params, protocol, valid)
        valid = None
    return ranked


def _rank(assembly: Assembly, params: Params, protocol: Protocol, valid: AnyRanking | None) -> Ranked:
    config, dataset = assembly.experiment.eval, assembly.dataset
    valid = valid or make_ranking(protocol, dataset, "valid", config, assembly.mesh)
    test = make_ranking(protocol, dataset, "test", config, assembly.mesh)
    on_valid = valid.evaluate(assembly.model, params, assembly.ctx)
    # A retriever read the training history alone, and so does whoever ranks what it chose.
    ctx = assembly.ctx if isinstance(test, RetrievedRanking) else assembly.context("test")
    on_test = test.evaluate(assembly.model, params, ctx, lists=True)
    references = _references(assembly, test)
    record: dict[str, Any] = {
        "k": list(config.k),
        "masked": list(on_test.masked),
        "num_users": on_test.num_users,
        "num_users_without_target": on_test.num_users_without_target,
        "single_target": bool((test.num_targets <= 1).all()),
        "candidates": _candidates_hash(valid, test),
        "valid": on_valid.metrics,
        "test": on_test.metrics,
        "reference": {"random": random_reference(test)} | {name: one.metrics for name, one in references.items()},
    }
    slices: dict[str, dict[str, Any]] = {}
    if config.cold_start_events is not None:
        rows = cold_start_rows(dataset, "test", on_test.user_ids, config.cold_start_events)
        slices["cold_start"] = {"events": config.cold_start_events} | _slice(test, on_test, references, rows)
    if isinstance(test, RetrievedRanking):
        slices["in_pool"] = _slice(test, on_test, references, test.reachable)
        record |= {
            "pool_size": test.pools.item_ids.shape[1],
            "injected": bool(test.pools.target_injected.any()),
            "retriever_in_full": test.retriever_in_full(),
            "paired": _paired(test, on_test, references["retriever"]),
        }
    if slices:
        record["slices"] = slices
    _check(record, valid)
    return Ranked(on_valid, on_test, record, (valid, test))


def _slice(
    test: AnyRanking, on_test: Evaluation, references: dict[str, Evaluation], rows: np.ndarray
) -> dict[str, Any]:
    """How many users a slice has and, if any, its metrics beside its references; rows: [n] bool."""
    found: dict[str, Any] = {"num_users": int(rows.sum())}
    if rows.any():
        found |= {
            "test": slice_metrics(on_test, rows),
            "reference": {"random": random_reference(test, rows)}
            | {name: slice_metrics(one, rows) for name, one in references.items()},
        }
    return found


def _paired(test: RetrievedRanking, on_test: Evaluation, retriever: Evaluation) -> dict[str, dict[str, Any]]:
    """The model against chance and against the retriever's own order: by metric, the difference and its test."""
    chance = expected_of_each(test.num_candidates, test.num_targets, test.config.k)
    return {
        name: {
            metric: paired_difference(on_test.per_user[metric], values)._asdict() for metric, values in other.items()
        }
        for name, other in (("random", chance), ("retriever", retriever.per_user))
    }


def _references(assembly: Assembly, test: AnyRanking) -> dict[str, Evaluation]:
    """Popularity; the order of a retriever; and where events have an order, what the user had last."""
    found = {"popularity": popularity_reference(test, assembly.ctx)}
    if isinstance(test, RetrievedRanking):
        # What the user had last is in no pool.
        return {"retriever": test.retriever_reference()} | found
    if assembly.experiment.data.split == "leave_one_out" and assembly.dataset.shards is None:
        merged = histories(assembly.dataset, "test", REPEATED, merged=True)
        ctx = Context(item_counts=assembly.ctx.item_counts, histories=replicate(merged, assembly.mesh))
        found["repeat_last"] = repeat_last_reference(test, ctx)
    return found


def _candidates_hash(*rankings: AnyRanking) -> str | None:
    """Of the sampled or retrieved candidates of both parts; None where the whole catalogue is ranked."""
    hashes = [ranking.candidates.sha256 for ranking in rankings if isinstance(ranking, SampledRanking)]
    hashes += [ranking.pools.sha256 for ranking in rankings if isinstance(ranking, RetrievedRanking)]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:12] if hashes else None


def _check(record: dict[str, Any], valid: AnyRanking) -> None:
    """Numbers that no ranking gives are a bug of ours, and never leave the house."""
    single = record["single_target"]
    rows = {"test": record["test"], **record["reference"]}
    sentences = [f"{name}: {one}" for name, row in rows.items() for one in impossibilities(row, single)]
    single_valid = bool(np.all(valid.num_targets <= 1))
    sentences += [f"valid: {one}" for one in impossibilities(record["valid"], single_valid)]
    if sentences:
        raise AssertionError(f"metrics that no ranking can have: {'; '.join(sentences)}")
