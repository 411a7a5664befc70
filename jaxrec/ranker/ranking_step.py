"""Step "ranking": the tuned model puts the candidates of the other users in order (SEALR)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxrec.errors import UserError
from jaxrec.eval.rankings import Rankings, write_rankings
from jaxrec.models.sealr_config import TuningConfig
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step
from jaxrec.ranker.inputs import PROMPTS, RULES, inputs_identity, read_inputs
from jaxrec.ranker.ordering import ask, lists_of, rank
from jaxrec.ranker.prompt_tokens import Encoded, PromptTokens, prompt_words
from jaxrec.ranker.ranking import Ranked, Tell
from jaxrec.ranker.tuned import read_tuned, untuned_tokenizer
from jaxrec.ranker.users import divide
from jaxrec.train.config import DevicesConfig
from jaxrec.train.mesh import make_mesh

TIMES = "times.json"
"""How long it took. Apart from the manifest, which is equal for equal outputs."""
_VERSION = 1
"""Raised when the same settings come to give other orders."""
_SECONDS_A_LINE = 30.0


def _identity(job: Job) -> Any:
    # Who was tuned and on what is in the name of that step's folder.
    ranking = {name: getattr(job.config.ranking, name) for name in ("method", "refill", "user_limit")}
    return {"version": _VERSION, "ranking": ranking, **inputs_identity(job)}


def _plan(job: Job) -> Plan:
    config = job.config
    if job.inputs.get("candidates") is None:
        return Plan(notes=("ranking: counted when the candidates are made",))
    users, inputs = _users(job), read_inputs(job, planning=True)
    texts = inputs.texts
    tokenizer = untuned_tokenizer(config.tuning, prompt_words(config.prompt, texts), texts.new_tokens)
    tokens = PromptTokens(tokenizer, texts, config.prompt)
    count = sum(len(tokens.encode(example).prompt) for example in inputs.examples(users))
    told = f"ranking: {len(users):,} users, prompts of {count:,} tokens, {count / len(users):,.0f} a user"
    return inputs.plan(users) + Plan(notes=(told,))


def _users(job: Job) -> np.ndarray:
    """Of validation and evaluation, ascending."""
    division = divide(job.dataset, job.config.tuning, job.config.ranking)
    return np.sort(np.concatenate([division.validation, division.evaluation]))


def _run(job: Job, folder: Path) -> Made:
    config, dataset = job.config, job.dataset
    tuning_folder = job.inputs.get("tuning")
    if tuning_folder is None:
        raise UserError("steps: no output of tuning; allowed: that step before")
    inputs = read_inputs(job)
    division = divide(dataset, config.tuning, config.ranking)
    users = _users(job)
    pools = inputs.pools_of(users)
    decoder = config.tuning.decoder
    tuned = read_tuned(tuning_folder, decoder, config.tuning.dtype)
    asked = ask(tuned, inputs.texts, config.prompt, config.ranking.method, inputs.examples(users), pools)
    start = time.monotonic()
    mesh = _mesh(config.tuning)
    ranked = rank(asked, tuned, config.prompt, config.ranking, mesh, _teller(job, len(users), start))
    seconds = time.monotonic() - start
    rankings = _rankings(users, pools, ranked, np.isin(users, division.validation), config.ranking.refill)
    write_rankings(folder, rankings, dataset)
    times = {"seconds": seconds, "users": len(users), "device": jax.devices()[0].device_kind, "devices": _count(mesh)}
    (folder / TIMES).write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
    counts = _counts(asked.encoded, pools, ranked)
    job.notice(
        f"ranking: {len(users):,} users, prompts of {counts['prompt_tokens']['mean']:,.0f} tokens, "
        f"{counts['cut_histories']:,} histories cut; {len(users) / max(seconds, 1e-9):,.2f} users a second"
    )
    return Made(
        model="tiny decoder" if decoder is None else Path(decoder).expanduser().resolve().name,
        rows={"user": {"rows": len(users), "present": int((rankings.item_ids[:, 0] >= 0).sum())}},
        extra={
            "method": config.ranking.method,
            "refill": config.ranking.refill,
            "inject_target": config.candidates.inject_target,
            "read_sha256": dataset.sha256,
            "rankings_sha256": rankings.sha256,
            "users": {"valid": len(division.validation), "test": len(division.evaluation)},
            "counts": counts,
        },
        launch_flag="--model.rankings",
    )


def _rankings(
    users: np.ndarray, pools: np.ndarray, ranked: Sequence[Ranked], valid: np.ndarray, refill: str
) -> Rankings:
    items, scores = lists_of(pools, ranked, refill)
    placed = np.array([len(one.order) for one in ranked], np.int32)
    return Rankings(users, items, placed, scores, valid)


def _counts(encoded: Sequence[Encoded], pools: np.ndarray, ranked: Sequence[Ranked]) -> dict[str, Any]:
    lengths = np.array([len(one.prompt) for one in encoded])
    return {
        "prompt_tokens": {"mean": round(float(lengths.mean()), 2), "max": int(lengths.max())},
        "answer_tokens": sum(one.answer_tokens for one in ranked),
        "cut_histories": sum(one.cut > 0 for one in encoded),
        "cut_items": sum(one.cut for one in encoded),
        "candidates": int((pools >= 0).sum()),
        "placed_by_model": sum(len(one.order) for one in ranked),
    }


def _teller(job: Job, total: int, start: float) -> Tell:
    """Tells the user now and then how many are done."""
    done, told = 0, start

    def tell(more: int) -> None:
        nonlocal done, told
        done += more
        now = time.monotonic()
        if now - told >= _SECONDS_A_LINE:
            told = now
            rate = done / (now - start)
            left = (total - done) / rate
            job.notice(f"ranking: {done:,} of {total:,} users, {rate:,.2f} a second, {left:,.0f} s left")

    return tell


def _mesh(config: TuningConfig) -> Mesh | None:
    return make_mesh(DevicesConfig(count=config.devices, model=config.tensor_devices))


def _count(mesh: Mesh | None) -> int:
    return 1 if mesh is None else mesh.size


STEP = Step(
    name="ranking",
    summary="the tuned model puts the candidates of the other users in order (SEALR)",
    run=_run,
    plan=_plan,
    identity=_identity,
    needs=("candidates", "tuning"),
    needs_where=lambda config: ("sentiment",) if config.prompt.sentiment else (),
    prompts=PROMPTS,
    rules=RULES,
)
