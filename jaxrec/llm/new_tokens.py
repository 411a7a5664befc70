"""Tokens that a checkpoint lacks: rows of its embeddings and, where the output is not tied, columns of its output."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params

ROWS = "new_tokens.safetensors"
MULTIPLE = 64
"""The vocabulary grows to a multiple of this, so that the devices of a mesh can share it."""

Rows = dict[str, Any]
"""{"embedding": [n, D]} and, where the output is not tied, {"output": [n, D]}; float32."""


def extend(params: Params, config: DecoderConfig, first: int, count: int) -> tuple[Params, DecoderConfig]:
    """Parameters and config with room for the tokens first to first + count - 1; the new rows are zero.

    params: NumPy arrays; the given ones stay. A vocabulary that has the room already stays as it is.
    """
    size = config.vocab_size
    if first + count <= size:
        return params, config
    added = -(-(first + count) // MULTIPLE) * MULTIPLE - size
    table = np.asarray(params["embed"]["embedding"])
    grown = params | {"embed": {"embedding": np.pad(table, ((0, added), (0, 0)))}}
    if not config.tied_output:
        grown["output"] = {"kernel": np.pad(np.asarray(params["output"]["kernel"]), ((0, 0), (0, added)))}
    return grown, dataclasses.replace(config, vocab_size=size + added)


def init_rows(params: Params, config: DecoderConfig, first: int, count: int, rng: jax.Array) -> Rows:
    """Rows of tokens that mean nothing yet: normal draws with mean and deviation of each feature of the others.

    params: as before or after `extend`; its rows below `first` are the others.
    """
    tables = {"embedding": params["embed"]["embedding"][:first]}
    if not config.tied_output:
        tables["output"] = params["output"]["kernel"][:, :first].T
    rows: Rows = {}
    for index, (name, table) in enumerate(tables.items()):
        known = np.asarray(table, np.float32)
        drawn = jax.random.normal(jax.random.fold_in(rng, index), (count, known.shape[1]), jnp.float32)
        rows[name] = known.mean(axis=0)[None] + known.std(axis=0)[None] * drawn
    return rows


def with_rows(params: Params, rows: Rows, first: int) -> Params:
    """Parameters with these rows in their places; differentiable in the rows."""
    table = params["embed"]["embedding"]
    placed = params | {"embed": {"embedding": _put(jnp.asarray(table), rows["embedding"], first)}}
    if "output" in rows:
        kernel = jnp.asarray(params["output"]["kernel"])
        placed["output"] = {"kernel": _put(kernel.T, rows["output"], first).T}
    return placed


def _put(table: jax.Array, rows: Any, first: int) -> jax.Array:
    return jax.lax.dynamic_update_slice(table, jnp.asarray(rows, table.dtype), (first, 0))


def write_rows(folder: Path, rows: Rows) -> None:
    """Writes new_tokens.safetensors."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array, np.float32) for name, array in rows.items()}, folder / ROWS)


def read_rows(folder: Path, config: DecoderConfig, count: int) -> Rows:
    """What `write_rows` wrote, NumPy arrays. Raises: UserError where it is damaged or of another shape."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path, names = folder / ROWS, {"embedding"} | (set() if config.tied_output else {"output"})
    try:
        rows: Rows = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a whole .safetensors file ({reason})") from error
    shape = (count, config.hidden_size)
    if set(rows) != names or any(array.shape != shape for array in rows.values()):
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in sorted(rows.items()))
        wanted = ", ".join(f"{name} {list(shape)}" for name in sorted(names))
        raise UserError(f"{path}: found {found or 'nothing'}, allowed: {wanted}")
    return rows
