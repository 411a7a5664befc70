"""Low-rank adapters (Hu et al., 2022) beside frozen weights: W + (alpha / rank) A B for any subset of projections.

The tree that is trained and saved holds A and B as PEFT does; `scaled` gives what `decoder.forward` adds, with
alpha / rank in B. Adapters are float32 whatever the dtype of the weights.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.decoder import Params, param_shapes
from jaxrec.llm.layers import Adapters

LAYER_TARGETS = (
    "attention/query",
    "attention/key",
    "attention/value",
    "attention/output",
    "mlp/gate",
    "mlp/up",
    "mlp/down",
)
"""Projections of a layer, by their path in the decoder's parameters."""
HEAD = "output"
"""The projection to the logits; only where the decoder's output is not tied to the embeddings."""
TARGETS = (*LAYER_TARGETS, HEAD)


@dataclasses.dataclass(frozen=True)
class LoRAConfig:
    """Which projections are adapted, and how; hashable. rank: columns of A. alpha: the delta is alpha / rank A B.

    dropout: the share of what each adapter reads that is zero in a step of training; the frozen weights read all of it.
    """

    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("attention/query", "attention/value")
    dropout: float = 0.0

    @property
    def scale(self) -> float:
        """What A B is multiplied by."""
        return self.alpha / self.rank

    def validate(self, decoder: DecoderConfig, prefix: str = "lora") -> None:
        """Raise UserError, naming the field, for adapters that this decoder cannot have."""
        if type(self.rank) is not int or self.rank < 1:
            raise UserError(f"{prefix}.rank: found {self.rank!r}, allowed: 1 or more")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise UserError(f"{prefix}.alpha: found {self.alpha!r}, allowed: above 0")
        if not 0 <= self.dropout < 1:
            raise UserError(f"{prefix}.dropout: found {self.dropout!r}, allowed: 0 or more, below 1")
        if not self.targets:
            raise UserError(f"{prefix}.targets: found none, allowed: any of {', '.join(TARGETS)}")
        for target in self.targets:
            if target not in TARGETS:
                raise UserError(f"{prefix}.targets: found {target!r}, allowed: {', '.join(TARGETS)}")
        if len(set(self.targets)) < len(self.targets):
            raise UserError(f"{prefix}.targets: found {', '.join(self.targets)}, allowed: each once")
        if HEAD in self.targets and decoder.tied_output:
            raise UserError(f"{prefix}.targets: found {HEAD!r}, allowed: none, as the output is tied to the embeddings")


def init_adapters(lora: LoRAConfig, decoder: DecoderConfig, rng: jax.Array) -> Adapters:
    """Adapters that change nothing yet: B is zero, A uniform in +-1 / sqrt(in) as PEFT draws it.

    Leaves a [L, in, r] and b [L, r, out] float32, without the L for the output. Raises: UserError as `validate`.
    """
    lora.validate(decoder)
    shapes = param_shapes(decoder)
    adapters: Adapters = {}
    for target in lora.targets:
        kernel = get(shapes, _path(target))["kernel"].shape
        *stack, width, out = kernel
        # Each projection has a draw of its own, whichever others are adapted.
        key = jax.random.fold_in(rng, TARGETS.index(target))
        bound = 1.0 / math.sqrt(width)
        a = jax.random.uniform(key, (*stack, width, lora.rank), jnp.float32, -bound, bound)
        put(adapters, target, {"a": a, "b": jnp.zeros((*stack, lora.rank, out), jnp.float32)})
    return adapters


def scaled(adapters: Adapters, lora: LoRAConfig, rng: jax.Array | None = None) -> Adapters:
    """What `decoder.forward` takes: the same A, and B with alpha / rank in it. Differentiable.

    rng: a key for training, where each projection of each layer drops other elements; None drops none.
    """
    folded: Adapters = {}
    for target in lora.targets:
        pair = get(adapters, _path(target))
        found = {"a": pair["a"], "b": lora.scale * pair["b"]}
        if rng is not None and lora.dropout > 0:
            key, stack = jax.random.fold_in(rng, TARGETS.index(target)), pair["a"].shape[:-2]
            found["key"] = jax.random.split(key, stack) if stack else key
            found["keep"] = jnp.full(stack, 1 - lora.dropout)
        put(folded, target, found)
    return folded


def merge(params: Params, adapters: Adapters, lora: LoRAConfig) -> Params:
    """Parameters with the adapters in their kernels, for inference without them; the given ones stay as they are.

    In bfloat16 weights a merge rounds: unmerging gives the former ones to that precision alone.
    """
    return _add(params, adapters, lora, lora.scale)


def unmerge(params: Params, adapters: Adapters, lora: LoRAConfig) -> Params:
    """The inverse of `merge`."""
    return _add(params, adapters, lora, -lora.scale)


def _add(params: Params, adapters: Adapters, lora: LoRAConfig, scale: float) -> Params:
    merged = jax.tree.map(lambda leaf: leaf, params)  # Dicts of its own; arrays are shared.
    for target in lora.targets:
        path = _path(target)
        pair, module = get(adapters, path), get(merged, path)
        if "scale" in module:
            # Most of a small delta would be lost in the rounding.
            raise UserError(f"{path}: found a kernel of eight bits, allowed for a merge: plain ones (dequantize first)")
        delta = jnp.matmul(pair["a"], pair["b"], precision="highest")
        kernel = module["kernel"]
        module["kernel"] = (jnp.asarray(kernel, jnp.float32) + scale * delta).astype(kernel.dtype)
    return merged


def get(tree: Any, path: str) -> Any:
    """The subtree under a path with slashes."""
    for part in path.split("/"):
        tree = tree[part]
    return tree


def put(adapters: Adapters, target: str, pair: dict[str, Any]) -> None:
    """Puts {"a", "b"} where the decoder looks for the adapter of a target."""
    *parents, last = _path(target).split("/")
    for part in parents:
        adapters = adapters.setdefault(part, {})
    adapters[last] = pair


def _path(target: str) -> str:
    return target if target == HEAD else f"layers/{target}"
