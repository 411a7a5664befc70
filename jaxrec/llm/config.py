"""What a checkpoint says about its decoder: sizes, rotary positions, output; read from config.json."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

from jaxrec.errors import UserError
from jaxrec.llm.rope import RopeScaling

Dtype = Literal["float32", "bfloat16"]

_MODEL_TYPES = ("llama", "mistral")
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """Sizes of a Llama-family decoder; hashable, so that compiled functions take it as a static argument.

    max_positions: tokens that prompt and answer may have together. tied_output: the logits are products with the
    token embeddings. dtype: of weights and activations; norms, attention weights and logits are float32.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    rope_base: float = 10000.0
    rope_scaling: RopeScaling = dataclasses.field(default_factory=RopeScaling)
    rms_norm_eps: float = 1e-5
    tied_output: bool = False
    dtype: Dtype = "float32"

    def validate(self, source: str) -> None:
        """Raise UserError, naming the source, for sizes that make no decoder."""
        counts = ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads", "num_kv_heads")
        rules = [(field, getattr(self, field) >= 1, "1 or more") for field in (*counts, "max_positions")]
        rules += [
            ("head_dim", self.head_dim >= 2 and self.head_dim % 2 == 0, "an even number"),
            ("rope_base", self.rope_base > 0, "above 0"),
            ("rms_norm_eps", 0 < self.rms_norm_eps < 1, "between 0 and 1"),
            ("dtype", self.dtype in ("float32", "bfloat16"), "float32, bfloat16"),
        ]
        for field, holds, allowed in rules:
            if not holds:
                raise UserError(f"{source}: {field} {getattr(self, field)!r}; allowed: {allowed}")
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                f"{source}: num_kv_heads {self.num_kv_heads}; a divisor of num_heads {self.num_heads} is needed"
            )
        self.rope_scaling.validate(source, self.head_dim)


def read_config(path: Path, dtype: Dtype) -> DecoderConfig:
    """The decoder that a Hugging Face config.json describes.

    Raises: UserError where the file is damaged, or asks for what this decoder does not compute.
    """
    value = read_object(path)
    kind = value.get("model_type")
    if kind not in _MODEL_TYPES:
        raise UserError(f"{path}: model_type {kind!r}; supported: {', '.join(_MODEL_TYPES)}")
    for field in _SIZES:
        _require_whole(path, field, value.get(field))
    # What other values of these fields would compute is not what this decoder computes.
    fixed = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "sliding_window": None}
    for field, supported in fixed.items():
        if value.get(field, supported) != supported:
            raise UserError(f"{path}: {field} {value[field]!r}; supported: {supported!r}")
    heads = value["num_attention_heads"]
    kv_heads, head_dim, positions = (
        default if value.get(field) is None else _require_whole(path, field, value[field])
        for field, default in (
            ("num_key_value_heads", heads),
            ("head_dim", value["hidden_size"] // heads),
            ("max_position_embeddings", 2048),
        )
    )
    scaling = value.get("rope_scaling") or value.get("rope_parameters") or {}
    if not isinstance(scaling, dict):
        raise UserError(f"{path}: rope_scaling {scaling!r}; an object is needed")
    config = DecoderConfig(
        vocab_size=value["vocab_size"],
        hidden_size=value["hidden_size"],
        intermediate_size=value["intermediate_size"],
        num_layers=value["num_hidden_layers"],
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=positions,
        rope_base=_number(path, "rope_theta", value.get("rope_theta", scaling.get("rope_theta", 10000.0))),
        rope_scaling=_rope_scaling(path, scaling, positions),
        rms_norm_eps=_number(path, "rms_norm_eps", value.get("rms_norm_eps", 1e-6)),
        tied_output=bool(value.get("tie_word_embeddings", False)),
        dtype=dtype,
    )
    config.validate(str(path))
    return config


def _rope_scaling(path: Path, value: dict[str, Any], positions: int) -> RopeScaling:
    kind = value.get("rope_type", value.get("type", "default"))
    if kind == "default":
        return RopeScaling()
    if kind not in ("linear", "llama3"):
        raise UserError(f"{path}: rope_scaling of the type {kind!r}; supported: default, linear, llama3")
    fields = {"linear": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor")}[kind]
    numbers: dict[str, Any] = {field: _number(path, f"rope_scaling.{field}", value.get(field)) for field in fields}
    original = value.get("original_max_position_embeddings", positions)
    return RopeScaling(
        kind=kind, original_max_positions=_require_whole(path, "original_max_position_embeddings", original), **numbers
    )


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises UserError where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: not found") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: found a JSON {type(value).__name__}; an object is needed")
    return value


def _require_whole(path: Path, field: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise UserError(f"{path}: {field} {value!r}; a whole number of at least 1 is needed")
    return value


def _number(path: Path, field: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise UserError(f"{path}: {field} {value!r}; a number is needed")
    return float(value)
