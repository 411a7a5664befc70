"""Weights out of a Hugging Face folder: single or sharded safetensors under PyTorch's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig, read_object
from jaxrec.llm.decoder import Params, param_shapes

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

LAYER_NAMES = {
    "attention_norm/scale": "input_layernorm",
    "attention/query/kernel": "self_attn.q_proj",
    "attention/key/kernel": "self_attn.k_proj",
    "attention/value/kernel": "self_attn.v_proj",
    "attention/output/kernel": "self_attn.o_proj",
    "mlp_norm/scale": "post_attention_layernorm",
    "mlp/gate/kernel": "mlp.gate_proj",
    "mlp/up/kernel": "mlp.up_proj",
    "mlp/down/kernel": "mlp.down_proj",
}
"""Modules of a layer: our path under layers/ -> PyTorch's name under model.layers.N."""
TOP_NAMES = {"embed/embedding": "model.embed_tokens", "norm/scale": "model.norm", "output/kernel": "lm_head"}

ReadTensor = Callable[[str], np.ndarray]
"""The tensor of a name, as PyTorch lays it out: matrices [out, in]. Raises UserError where there is none."""


def read_params(folder: Path, config: DecoderConfig) -> Params:
    """The decoder's parameters as NumPy arrays in config.dtype; one tensor is read at a time.

    Raises: UserError where a file or tensor is missing, damaged, or of another shape than config.json asks for.
    """
    from safetensors import SafetensorError, safe_open

    files = _files(folder)
    with ExitStack() as stack:
        held: dict[str, Any] = {}
        for path in files:
            try:
                opened = stack.enter_context(safe_open(path, framework="np"))
                held |= dict.fromkeys(opened.keys(), (path, opened))
            except (OSError, SafetensorError) as error:
                raise UserError(f"{path}: not a whole .safetensors file ({_first_line(error)})") from error

        def read(name: str) -> np.ndarray:
            if name not in held:
                raise UserError(f"{folder}: no tensor {name} in its safetensors; the weights of a Llama are needed")
            path, opened = held[name]
            try:
                return opened.get_tensor(name)
            except (OSError, SafetensorError, TypeError, ValueError) as error:
                raise UserError(f"{path}: tensor {name} cannot be read ({_first_line(error)})") from error

        return fill_params(config, read, str(folder), "weight")


def fill_params(config: DecoderConfig, read: ReadTensor, source: str, suffix: str) -> Params:
    """The parameters out of tensors with PyTorch's names, each checked against the shape that the config asks for."""

    def fill(keys: Sequence[Any], wanted: jax.ShapeDtypeStruct) -> np.ndarray:
        path = "/".join(key.key for key in keys)
        if not path.startswith("layers/"):
            return _tensor(read, f"{TOP_NAMES[path]}.{suffix}", path, wanted.shape, source).astype(wanted.dtype)
        stacked = np.empty(wanted.shape, wanted.dtype)
        for layer in range(config.num_layers):
            name = f"model.layers.{layer}.{LAYER_NAMES[path.removeprefix('layers/')]}.{suffix}"
            stacked[layer] = _tensor(read, name, path, wanted.shape[1:], source)
        return stacked

    return jax.tree_util.tree_map_with_path(fill, param_shapes(config))


def _tensor(read: ReadTensor, name: str, path: str, wanted: tuple[int, ...], source: str) -> np.ndarray:
    """A tensor as this decoder lays it out: kernels [in, out], where PyTorch has [out, in]."""
    found = read(name)
    kernel = path.endswith("kernel")
    shape = wanted[::-1] if kernel else wanted
    if found.shape != shape:
        raise UserError(f"{source}: tensor {name} has shape {list(found.shape)}; {list(shape)} is needed")
    if not np.issubdtype(found.dtype, np.floating) and found.dtype.name != "bfloat16":
        raise UserError(f"{source}: tensor {name} holds {found.dtype}; float32, float16 or bfloat16 is needed")
    return found.T if kernel else found


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.is_file():
        if not (folder / WEIGHTS).is_file():
            raise UserError(f"{folder}: neither {WEIGHTS} nor {INDEX} found; a folder with one of them is needed")
        return [folder / WEIGHTS]
    shards = read_object(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise UserError(f"{index}: no weight_map of tensor names to file names")
    names = sorted(set(shards.values()))
    for name in names:
        # A name with a path in it would read outside the folder.
        if Path(name).name != name or not (folder / name).is_file():
            raise UserError(f"{index}: names {name!r}, which is no file in {folder}")
    return [folder / name for name in names]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
