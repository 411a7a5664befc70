"""Step "tuning": a language model learns from some users to choose among candidates (SEALR, section 2.3)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrec.config.fields import leaves
from jaxrec.data.source import digest
from jaxrec.llm.checkpoint import checkpoint_sha256
from jaxrec.llm.lora_training import Example
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step
from jaxrec.ranker.inputs import Inputs, read_inputs
from jaxrec.ranker.preferences import SUMMARY, summary_rule
from jaxrec.ranker.prompt_text import PROMPTS
from jaxrec.ranker.prompt_tokens import Encoded, PromptTokens, prompt_words
from jaxrec.ranker.tuned import Untuned, given_decoder, tiny_decoder, write_tuned
from jaxrec.ranker.tuning import Outcome, plan_work, tune
from jaxrec.ranker.users import divide

_VERSION = 1
"""Raised when the same settings come to give another model."""
LOSSES, TIMES = "losses.json", "times.json"


class _Told(NamedTuple):
    """The examples of tuning and validation users, as tokens, and the model that will read them."""

    start: Untuned
    tuning: list[Encoded]
    validation: list[Encoded]


def _tell(job: Job, inputs: Inputs) -> _Told:
    config = job.config
    division = divide(job.dataset, config.tuning, config.ranking)
    parts = [inputs.examples(users, config.tuning.supervision) for users in (division.tuning, division.validation)]
    if config.tuning.decoder is None:
        keywords = sorted({word for part in parts for example in part for word in example.preference})
        words = prompt_words(config.prompt, inputs.texts, keywords)
        start = tiny_decoder(config.tuning, words, inputs.texts.new_tokens, config.prompt.max_tokens)
    else:
        start = given_decoder(config.tuning, inputs.texts.new_tokens)
    tokens = PromptTokens(start.tokenizer, inputs.texts, config.prompt)
    return _Told(start, *([tokens.encode(example) for example in part] for part in parts))


def _identity(job: Job) -> Any:
    config = job.config
    decoder = config.tuning.decoder
    return {
        "version": _VERSION,
        "decoder": None if decoder is None else checkpoint_sha256(Path(decoder).expanduser(), "tuning.decoder"),
        "tuning": _settings(config.tuning),
        "prompt": _settings(config.prompt),
        "shown": config.candidates.seed,
        "summaries": job.model if config.prompt.summary == "written" else None,
    }


def _settings(config: Any) -> dict[str, Any]:
    return {leaf.name: leaf.value for leaf in leaves(config) if leaf.hashed and not leaf.later}


def _plan(job: Job) -> Plan:
    if job.inputs.get("candidates") is None:
        return Plan(notes=("tuning: counted when the candidates are made",))
    told = _tell(job, read_inputs(job))
    tuning = job.config.tuning
    work = plan_work(_pairs(told.tuning), tuning)
    line = (
        f"tuning: {work.examples:,} examples with {work.tokens:,} tokens, {tuning.epochs} epochs in {work.steps:,} "
        f"steps of {work.shape.micro_batches * work.shape.rows} rows of {work.shape.width:,} tokens"
    )
    return Plan(notes=(line,))


def _run(job: Job, folder: Path) -> Made:
    config = job.config.tuning
    told = _tell(job, read_inputs(job))
    unfinished = _unfinished(job, folder)
    found = tune(told.start, _pairs(told.tuning), _pairs(told.validation), config, unfinished, job.notice)
    write_tuned(folder, told.start, found.trained)
    _write(folder / LOSSES, {"loss": found.losses, "valid_loss": found.valid_losses, "best_epoch": found.best_epoch})
    device = jax.devices()[0].device_kind
    _write(folder / TIMES, {"seconds": found.seconds, "users": len(told.tuning), "device": device})
    shutil.rmtree(unfinished, ignore_errors=True)
    every = [*told.tuning, *told.validation]
    return Made(
        model="tiny decoder" if config.decoder is None else Path(config.decoder).expanduser().resolve().name,
        rows={"user": {"rows": len(every), "present": len(every)}},
        extra=_counts(told, every, found),
    )


def _counts(told: _Told, every: Sequence[Encoded], found: Outcome) -> dict[str, Any]:
    lengths = np.array([len(one.prompt) for one in every])
    work = found.work
    return {
        "tuning_users": len(told.tuning),
        "validation_users": len(told.validation),
        "steps": work.steps,
        "tokens": work.tokens,
        "row_filled_share": round(work.tokens / max(1, _row_tokens(found)), 4),
        "prompt_tokens": {"mean": round(float(lengths.mean()), 2), "most": int(lengths.max())},
        "users_with_cut_histories": sum(one.cut > 0 for one in every),
        "trained_parameters": sum(leaf.size for leaf in jax.tree.leaves(found.trained)),
        "valid_loss_before": found.valid_losses[0],
        "valid_loss": found.valid_losses[found.best_epoch],
        "best_epoch": found.best_epoch,
    }


def _row_tokens(found: Outcome) -> int:
    """Tokens that the rows of an epoch can hold."""
    shape, epochs = found.work.shape, len(found.valid_losses) - 1
    return found.work.steps // epochs * shape.micro_batches * shape.rows * shape.width


def _unfinished(job: Job, folder: Path) -> Path:
    """Where a killed run of the same step on the same inputs has left its checkpoints."""
    inputs = {name: path.name for name, path in job.inputs.items() if path is not None}
    key = digest({"identity": _identity(job), "dataset": job.dataset.sha256, "inputs": inputs})
    return folder.parent / f".unfinished-tuning-{key[:12]}"


def _pairs(encoded: Iterable[Encoded]) -> list[Example]:
    return [Example(one.prompt, one.answer) for one in encoded]


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


STEP = Step(
    name="tuning",
    summary="a language model learns from some users to choose among candidates (SEALR)",
    run=_run,
    plan=_plan,
    identity=_identity,
    needs=("candidates",),
    needs_where=lambda config: ("sentiment",) if config.prompt.sentiment else (),
    prompts=(*PROMPTS, SUMMARY),
    rules={SUMMARY: summary_rule},
)
