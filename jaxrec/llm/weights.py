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
from jaxrec.llm.quantized import Weights, is_module, quantize_kernel

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


def read_params(folder: Path, config: DecoderConfig, weights: Weights = "plain") -> Params:
    """The decoder's parameters as NumPy arrays in config.dtype; one tensor is read at a time.

    weights: "int8" makes the kernels those of `quantized`, each as it is read, so that no more memory is taken.
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

        return fill_params(config, read, str(folder), "weight", weights)


def fill_params(
    config: DecoderConfig, read: ReadTensor, source: str, suffix: str, weights: Weights = "plain"
) -> Params:
    """The parameters out of tensors with PyTorch's names, each checked against the shape that the config asks for."""

    def fill(keys: Sequence[Any], module: dict[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
        ((leaf, wanted),) = module.items()
        path = "/".join([*(key.key for key in keys), leaf])
        stacked = path.startswith("layers/")
        shape = wanted.shape[1:] if stacked else wanted.shape
        if stacked:
            own = LAYER_NAMES[path.removeprefix("layers/")]
            names = [f"model.layers.{layer}.{own}" for layer in range(config.num_layers)]
        else:
            names = [TOP_NAMES[path]]
        eight_bits = weights == "int8" and leaf == "kernel"
        held: dict[str, np.ndarray] = {leaf: np.empty((len(names), *shape), np.int8 if eight_bits else wanted.dtype)}
        if eight_bits:
            held["scale"] = np.empty((len(names), shape[-1]), np.float32)
        for index, name in enumerate(names):
            tensor = _tensor(read, f"{name}.{suffix}", path, shape, source)
            if eight_bits:
                held[leaf][index], held["scale"][index] = quantize_kernel(tensor, f"{source}: tensor {name}.{suffix}")
            else:
                held[leaf][index] = tensor
        return held if stacked else {field: array[0] for field, array in held.items()}

    return jax.tree_util.tree_map_with_path(fill, param_shapes(config), is_leaf=is_module)


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
