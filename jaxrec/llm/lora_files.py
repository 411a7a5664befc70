"""Adapters as PEFT writes them: adapter_model.safetensors and adapter_config.json in one folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig, read_object
from jaxrec.llm.decoder import param_shapes
from jaxrec.llm.layers import Adapters
from jaxrec.llm.lora import HEAD, LAYER_TARGETS, TARGETS, LoRAConfig, get, put
from jaxrec.llm.weights import LAYER_NAMES, TOP_NAMES

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"

_PEFT_NAMES = {target: LAYER_NAMES[f"{target}/kernel"] for target in LAYER_TARGETS} | {
    HEAD: TOP_NAMES[f"{HEAD}/kernel"]
}
_TARGETS = {name: target for target, name in _PEFT_NAMES.items()}
_KEY = re.compile(r"base_model\.model\.(?:model\.layers\.(\d+)\.)?([a-z_.]+)\.lora_([AB])\.weight")
# What other values of these fields would compute is not what `lora` computes.
_FIXED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_rslora": (False,),
    "use_dora": (False,),
    "fan_in_fan_out": (False,),
    "modules_to_save": (None, []),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "layers_to_transform": (None, []),
}


def write_adapters(folder: Path, adapters: Adapters, lora: LoRAConfig, base_model: str | None = None) -> None:
    """Writes both files, in float32. base_model: the name or folder of the frozen weights, for PEFT's reader."""
    from safetensors.numpy import save_file

    held: dict[str, np.ndarray] = {}
    for target in lora.targets:
        for side, letter in (("a", "A"), ("b", "B")):
            if target == HEAD:
                held[_key(target, letter)] = _for_peft(adapters[HEAD][side])
                continue
            for layer, matrix in enumerate(np.asarray(get(adapters["layers"], target)[side])):
                held[_key(target, letter, layer)] = _for_peft(matrix)
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": [_PEFT_NAMES[target].rsplit(".", 1)[-1] for target in lora.targets],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    # First under other names, so that no reader finds half a file.
    partial = {name: folder / f"{name}.partial" for name in (WEIGHTS, CONFIG)}
    save_file(held, partial[WEIGHTS], metadata={"format": "pt"})
    partial[CONFIG].write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    for name, path in partial.items():
        path.replace(folder / name)


def read_adapters(folder: Path, decoder: DecoderConfig) -> tuple[LoRAConfig, Adapters]:
    """What `write_adapters` or PEFT wrote: NumPy arrays, float32; the targets are those that the tensors name.

    Raises: UserError where a file is missing or damaged, a layer is left out, shapes are not those of this decoder,
    or the adapters are of a kind that `lora` does not compute.
    """
    source, described = folder / CONFIG, read_object(folder / CONFIG)
    for field, supported in _FIXED.items():
        if described.get(field, supported[0]) not in supported:
            raise UserError(f"{source}: {field} {described[field]!r}; supported: {supported[0]!r}")
    rank, alpha = described.get("r"), _number(source, "lora_alpha", described.get("lora_alpha"))
    dropout = _number(source, "lora_dropout", described.get("lora_dropout", 0.0))
    if type(rank) is not int or rank < 1:
        raise UserError(f"{source}: r {rank!r}; a whole number of at least 1 is needed")
    held = _read_tensors(folder / WEIGHTS)
    named = {_target_of(folder / WEIGHTS, key) for key in held}
    lora = LoRAConfig(rank, alpha, tuple(target for target in TARGETS if target in named), dropout)
    lora.validate(decoder, str(folder))
    shapes = param_shapes(decoder)
    adapters: Adapters = {}
    for target in lora.targets:
        kernel = get(shapes, target if target == HEAD else f"layers/{target}")["kernel"]
        width, out = kernel.shape[-2:]
        layers = [None] if target == HEAD else list(range(decoder.num_layers))
        pair = {}
        for side, letter, shape in (("a", "A", (rank, width)), ("b", "B", (out, rank))):
            keys = [_key(target, letter, layer) for layer in layers]
            matrices = [_take(folder / WEIGHTS, held, key, shape).T for key in keys]
            pair[side] = matrices[0].copy() if target == HEAD else np.stack(matrices)
        put(adapters, target, pair)
    if held:
        raise UserError(f"{folder / WEIGHTS}: tensor {min(held)}, but the decoder has {decoder.num_layers} layers")
    return lora, adapters


def _number(source: Path, field: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UserError(f"{source}: {field} {value!r}; a number is needed")
    return float(value)


def _key(target: str, letter: str, layer: int | None = None) -> str:
    place = "" if layer is None else f"model.layers.{layer}."
    return f"base_model.model.{place}{_PEFT_NAMES[target]}.lora_{letter}.weight"


def _for_peft(matrix: Any) -> np.ndarray:
    """[in, r] or [r, out] as PyTorch's linear layers lay it out: [r, in] or [out, r]."""
    return np.ascontiguousarray(np.asarray(matrix, np.float32).T)


def _target_of(path: Path, key: str) -> str:
    match = _KEY.fullmatch(key)
    target = _TARGETS.get(match[2]) if match else None
    if match is None or target is None or (target == HEAD) != (match[1] is None):
        raise UserError(f"{path}: tensor {key}; supported: lora_A and lora_B of {', '.join(_PEFT_NAMES.values())}")
    return target


def _take(path: Path, held: dict[str, np.ndarray], key: str, shape: tuple[int, int]) -> np.ndarray:
    if key not in held:
        raise UserError(f"{path}: no tensor {key}; adapters of every layer are needed")
    found = held.pop(key)
    if found.shape != shape:
        raise UserError(f"{path}: tensor {key} has shape {list(found.shape)}; {list(shape)} is needed")
    if not np.issubdtype(found.dtype, np.floating) and found.dtype.name != "bfloat16":
        raise UserError(f"{path}: tensor {key} holds {found.dtype}; float32, float16 or bfloat16 is needed")
    return found.astype(np.float32)


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise UserError(f"{path}: not found")
    try:
        return load_file(path)
    except (OSError, SafetensorError, TypeError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a whole .safetensors file ({reason})") from error
