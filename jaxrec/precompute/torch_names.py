"""Parameters of transformers' Flax modules out of a safetensors file with PyTorch's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrec.data.array_files import read_safetensors
from jaxrec.errors import UserError

_WEIGHTS = ("kernel", "embedding", "scale")
"""What PyTorch calls weight, whatever it is of."""


def read_flax_params(path: Path, expected: Any, what: str) -> Any:
    """The tree of `expected` (of shapes) as float32 arrays. what: "a CLIP", for messages.

    A matrix of PyTorch is [out, in] and a kernel of Flax [in, out]; one of a convolution [out, in, height, width] and
    [height, width, in, out]. Tensors that the module has no place for are left out.

    Raises: UserError where a tensor is missing, has another shape, or is not finite.
    """
    held = read_safetensors(path)

    def fill(keys: tuple[Any, ...], wanted: jax.ShapeDtypeStruct) -> np.ndarray:
        parts = [key.key for key in keys]
        name = ".".join([*parts[:-1], "weight" if parts[-1] in _WEIGHTS else parts[-1]])
        if name not in held:
            raise UserError(f"{path}: no tensor {name}; the weights of {what} are needed")
        order: tuple[int, ...] = tuple(range(len(wanted.shape)))
        if parts[-1] == "kernel":
            order = (2, 3, 1, 0) if len(order) == 4 else order[::-1]
        needed = [wanted.shape[order.index(axis)] for axis in range(len(order))]
        if list(held[name].shape) != needed:
            raise UserError(f"{path}: tensor {name} has shape {list(held[name].shape)}; {needed} is needed")
        values = np.array(held[name].transpose(order), np.float32, order="C")
        if not np.isfinite(values).all():
            raise UserError(f"{path}: tensor {name} holds numbers that are not finite; whole weights are needed")
        return values

    return jax.tree_util.tree_map_with_path(fill, expected)
