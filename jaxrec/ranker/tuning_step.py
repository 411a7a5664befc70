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
from jaxrec.llm.packed_examples import Example
from jaxrec.llm.tokenizer import Tokenizer
from jaxrec.precompute.requests import Plan
from jaxrec.precompute.step import Job, Made, Step
from jaxrec.ranker.examples import Example as UserExample
from jaxrec.ranker.inputs import RULES, Inputs, inputs_identity, read_inputs
from jaxrec.ranker.preferences import SUMMARY
from jaxrec.ranker.prompt_text import PROMPTS
from jaxrec.ranker.prompt_tokens import Encoded, PromptTokens, prompt_words
from jaxrec.ranker.tuned import given_decoder, tiny_decoder, untuned_tokenizer, write_tuned
from jaxrec.ranker.tuned_before import LEARNT, take_over, tuned_before
from jaxrec.ranker.tuning import Outcome, plan_work, tune
from jaxrec.ranker.users import divide

_VERSION = 1
"""Raised when the same settings come to give another model."""
LOSSES, TIMES = "losses.json", "times.json"


class _Texts(NamedTuple):
    """What users are told: examples of those who are tuned on and of those who choose the epoch; words: of them all."""

    tuning: list[UserExample]
    validation: list[UserExample]
    words: list[str]


def _texts(job: Job, inputs: Inputs) -> _Texts:
    config = job.config
    division = divide(job.dataset, config.tuning, config.ranking)
    parts = [inputs.examples(users, config.tuning.supervision) for users in (division.tuning, division.validation)]
    keywords = sorted({word for part in parts for example in part for word in example.preference})
    return _Texts(*parts, words=prompt_words(config.prompt, inputs.texts, keywords))


def _identity(job: Job) -> Any:
    config = job.config
    decoder = config.tuning.decoder
    return {
        "version": _VERSION,
        "decoder": None if decoder is None else checkpoint_sha256(Path(decoder).expanduser(), "tuning.decoder"),
        "tuning": {leaf.name: leaf.value for leaf in leaves(config.tuning) if leaf.hashed and not leaf.later},
        "examples": inputs_identity(job),
    }


def _plan(job: Job) -> Plan:
    if any(job.inputs.get(name) is None for name in STEP.needs_of(job.config)):
        return Plan(notes=("tuning: counted when what it needs is made",))
    config, inputs = job.config, read_inputs(job, planning=True)
    texts = _texts(job, inputs)
    tokenizer = untuned_tokenizer(config.tuning, texts.words, inputs.texts.new_tokens)
    work = plan_work(_pairs(_encoded(texts.tuning, tokenizer, inputs)), config.tuning)
    line = (
        f"tuning: {work.examples:,} examples with {work.tokens:,} tokens, {config.tuning.epochs} epochs in "
        f"{work.steps:,} steps of {work.shape.micro_batches * work.shape.rows} rows of {work.shape.width:,} tokens"
    )
    division = divide(job.dataset, config.tuning, config.ranking)
    return inputs.plan(np.concatenate([division.tuning, division.validation])) + Plan(notes=(line,))


def _run(job: Job, folder: Path) -> Made:
    config, inputs = job.config.tuning, read_inputs(job)
    texts = _texts(job, inputs)
    if config.decoder is None:
        start = tiny_decoder(config, texts.words, inputs.texts.new_tokens, job.config.prompt.max_tokens)
    else:
        start = given_decoder(config, inputs.texts.new_tokens)
    tuning, validation = (_encoded(part, start.tokenizer, inputs) for part in (texts.tuning, texts.validation))
    learnt = _learnt(job, texts.words, tuning, validation)
    before = tuned_before(folder.parent, learnt)
    if before is None:
        unfinished = _unfinished(job, folder)
        found = tune(start, _pairs(tuning), _pairs(validation), config, unfinished, job.notice)
        write_tuned(folder, start, found.trained)
        losses = {"loss": found.losses, "valid_loss": found.valid_losses, "best_epoch": found.best_epoch}
        _write(folder / LOSSES, losses)
        device = jax.devices()[0].device_kind
        _write(folder / TIMES, {"seconds": found.seconds, "users": len(tuning), "device": device})
        shutil.rmtree(unfinished, ignore_errors=True)
        counts = _counts(tuning, validation, found)
    else:
        job.notice(f"tuning: the examples are those of {before.folder}, whose model is taken")
        take_over(before, folder)
        counts = before.counts
    count = len(tuning) + len(validation)
    return Made(
        model="tiny decoder" if config.decoder is None else Path(config.decoder).expanduser().resolve().name,
        rows={"user": {"rows": count, "present": count}},
        extra={"counts": counts, LEARNT: learnt},
    )


def _learnt(job: Job, words: Sequence[str], tuning: Sequence[Encoded], validation: Sequence[Encoded]) -> str:
    """sha256 of all that the model follows from."""
    identity = {name: value for name, value in _identity(job).items() if name != "examples"}
    told = [[[*map(int, one.prompt)], [*map(int, one.answer)]] for one in (*tuning, *validation)]
    return digest({**identity, "words": list(words), "examples": told, "tuned_on": len(tuning)})


def _encoded(examples: Sequence[UserExample], tokenizer: Tokenizer, inputs: Inputs) -> list[Encoded]:
    tokens = PromptTokens(tokenizer, inputs.texts, inputs.config)
    return [tokens.encode(example) for example in examples]


def _counts(tuning: Sequence[Encoded], validation: Sequence[Encoded], found: Outcome) -> dict[str, Any]:
    every = [*tuning, *validation]
    lengths = np.array([len(one.prompt) for one in every])
    work = found.work
    return {
        "tuning_users": len(tuning),
        "validation_users": len(validation),
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
    rules=RULES,
)
