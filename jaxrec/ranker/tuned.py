"""A tuned language model in a folder: adapters beside the model that they were trained on, or all of a tiny decoder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrec.errors import UserError
from jaxrec.llm.checkpoint import checkpoint_sha256, read_checkpoint
from jaxrec.llm.checkpoint_files import write_weights
from jaxrec.llm.config import DecoderConfig, Dtype, read_object
from jaxrec.llm.decoder import Params, init_params
from jaxrec.llm.gguf_tokenizer import gguf_tokenizer
from jaxrec.llm.gguf_weights import GGUFFile
from jaxrec.llm.layers import Adapters
from jaxrec.llm.lora import LoRAConfig, init_adapters, scaled
from jaxrec.llm.lora_files import read_adapters, write_adapters
from jaxrec.llm.new_tokens import MULTIPLE, extend, init_rows, read_rows, with_rows, write_rows
from jaxrec.llm.tokenizer import Tokenizer, read_tokenizer
from jaxrec.llm.tuning import Trained
from jaxrec.models.sealr_config import TuningConfig
from jaxrec.ranker.tiny_tokenizer import tiny_tokenizer, with_item_tokens, write_tokenizer

TUNED = "tuning.json"
ANSWER_ROOM = 1024
"""Tokens that a tiny decoder takes behind the longest prompt."""


@dataclasses.dataclass(frozen=True, eq=False)
class Untuned:
    """A model before its tuning. frozen: NumPy arrays, {} where all weights are trained. trained: what tuning changes.

    first_new: the first token that is new to it; new_tokens: their texts. decoder: where it was read; None: tiny.
    """

    config: DecoderConfig
    frozen: Params
    trained: Trained
    tokenizer: Tokenizer
    lora: LoRAConfig
    first_new: int
    new_tokens: tuple[str, ...]
    decoder: str | None


@dataclasses.dataclass(frozen=True, eq=False)
class Tuned:
    """What Generator and Scorer take. params: NumPy arrays, rows of new tokens in them. adapters: scaled, or None."""

    config: DecoderConfig
    params: Params
    adapters: Adapters | None
    tokenizer: Tokenizer


def untuned_tokenizer(tuning: TuningConfig, words: Sequence[str], new_tokens: Sequence[str]) -> Tokenizer:
    """That of the model to be tuned, without its weights. Raises: UserError where it cannot be read."""
    if tuning.decoder is None:
        return tiny_tokenizer(words, new_tokens)
    path = Path(tuning.decoder).expanduser()
    read = gguf_tokenizer(GGUFFile(path)) if path.is_file() else read_tokenizer(path)
    return with_item_tokens(read, new_tokens, spaced=True)


def tiny_decoder(tuning: TuningConfig, words: Sequence[str], new_tokens: Sequence[str], prompt_tokens: int) -> Untuned:
    """A decoder out of nothing, all of whose weights are trained. prompt_tokens: of the longest prompt."""
    tokenizer = untuned_tokenizer(tuning, words, new_tokens)
    config = DecoderConfig(
        vocab_size=-(-tokenizer.vocab_size // MULTIPLE) * MULTIPLE,
        hidden_size=tuning.hidden_dim,
        # As in Llama: 8/3 of the width, for the gate takes a matrix more.
        intermediate_size=-(-8 * tuning.hidden_dim // 96) * 32,
        num_layers=tuning.num_layers,
        num_heads=tuning.num_heads,
        num_kv_heads=tuning.num_heads,
        head_dim=tuning.hidden_dim // tuning.num_heads,
        max_positions=prompt_tokens + ANSWER_ROOM,
        tied_output=True,
    )
    config.validate("tuning")
    trained = {"weights": init_params(config, jax.random.key(tuning.seed))}
    first = tokenizer.vocab_size - len(new_tokens)
    return Untuned(config, {}, trained, tokenizer, tuning.lora, first, tuple(new_tokens), None)


def given_decoder(tuning: TuningConfig, new_tokens: Sequence[str]) -> Untuned:
    """The checkpoint `tuning.decoder` with adapters that change nothing yet, and rows of new tokens.

    Raises: UserError as `read_checkpoint`, and for adapters that this decoder cannot have.
    """
    read = read_checkpoint(str(tuning.decoder), tuning.dtype)
    tuning.lora.validate(read.config, "tuning.lora")
    first, count = read.tokenizer.vocab_size, len(new_tokens)
    params, config = extend(read.params, read.config, first, count)
    adapters, rows = jax.random.split(jax.random.key(tuning.seed))
    trained: Trained = {"adapters": init_adapters(tuning.lora, config, adapters)}
    if count:
        trained["rows"] = init_rows(read.params, config, first, count, rows)
    tokenizer = with_item_tokens(read.tokenizer, new_tokens, spaced=True)
    return Untuned(config, params, trained, tokenizer, tuning.lora, first, tuple(new_tokens), tuning.decoder)


def write_tuned(folder: Path, start: Untuned, trained: Trained) -> None:
    """A whole checkpoint of a tiny decoder; else adapters as PEFT files and rows of new tokens; and tuning.json."""
    trained = jax.tree.map(np.asarray, trained)
    told: dict[str, Any] = {"kind": "weights"}
    if start.decoder is None:
        write_weights(folder, start.config, trained["weights"], start.tokenizer.stop_tokens[0])
        write_tokenizer(folder, start.tokenizer)
    else:
        path = Path(start.decoder).expanduser()
        digest = checkpoint_sha256(path, "tuning.decoder")
        told = {"kind": "adapters", "base": path.resolve().name, "base_sha256": digest}
        told |= {"new_tokens": [f" {text}" for text in start.new_tokens]}
        write_adapters(folder, trained["adapters"], start.lora, base_model=path.resolve().name)
        if start.new_tokens:
            write_rows(folder, trained["rows"])
    (folder / TUNED).write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_tuned(folder: Path, decoder: str | None, dtype: Dtype = "float32") -> Tuned:
    """What `write_tuned` wrote. decoder: the checkpoint of the settings, None for a tiny decoder.

    Raises: UserError where a file is missing or damaged, or the adapters were trained on another model.
    """
    told = read_object(folder / TUNED)
    if told.get("kind") == "weights":
        if decoder is not None:
            raise UserError(f"tuning.decoder: found {decoder} beside {folder}, a whole tiny decoder; allowed: None")
        read = read_checkpoint(folder)
        return Tuned(read.config, read.params, None, read.tokenizer)
    base = f"{told.get('base')} ({told.get('base_sha256')})"
    if decoder is None:
        raise UserError(f"tuning.decoder: found none beside the adapters in {folder}; allowed: their model, {base}")
    path = Path(decoder).expanduser()
    found = checkpoint_sha256(path, "tuning.decoder")
    if found != told.get("base_sha256"):
        raise UserError(
            f"tuning.decoder: found {decoder} ({found}), but the adapters in {folder} were trained on another model; "
            f"allowed: {base}"
        )
    read = read_checkpoint(path, dtype)
    new_tokens: list[str] = told.get("new_tokens", [])
    if any(not text.startswith(" ") for text in new_tokens):
        raise UserError(
            f"{folder / TUNED}: found a token {new_tokens[0]} for an item, which says it without the blank before it, "
            "as lists no longer do; make the step tuning anew"
        )
    first = read.tokenizer.vocab_size
    params, config = extend(read.params, read.config, first, len(new_tokens))
    if new_tokens:
        placed = with_rows(params, read_rows(folder, config, len(new_tokens)), first)
        params = jax.tree.map(np.asarray, placed)
    lora, adapters = read_adapters(folder, config)
    tokenizer = with_item_tokens(read.tokenizer, [text[1:] for text in new_tokens], spaced=True)
    return Tuned(config, params, scaled(adapters, lora), tokenizer)
