"""A layer of the decoder and its parts, as Flax modules."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrec.llm.attention import grouped_attention
from jaxrec.llm.cache import Cache
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.quantized import frozen_matmul
from jaxrec.llm.rope import rotate

Adapters = dict[str, Any]
Angles = tuple[jax.Array, jax.Array]


class DecoderLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); one step of the scan over layers."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, carry: tuple[jax.Array, Cache | None], layer: Any, adapters: Adapters, angles: Angles, mask: Any
    ) -> tuple[tuple[jax.Array, Cache | None], None]:
        """Carry of hidden states [B, T, D] and the cache of all layers, of which this one writes and reads its own."""
        hidden, cache = carry
        eps = self.config.rms_norm_eps
        attention = Attention(self.config, name="attention")
        attended, cache = attention(
            RMSNorm(eps, name="attention_norm")(hidden), cache, layer, adapters.get("attention", {}), angles, mask
        )
        hidden = hidden + attended
        mlp = MLP(self.config.intermediate_size, name="mlp")
        hidden = hidden + mlp(RMSNorm(eps, name="mlp_norm")(hidden), adapters.get("mlp", {}))
        return (hidden, cache), None


class Attention(nn.Module):
    """Grouped-query attention (Ainslie et al., 2023) with rotary positions."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self,
        hidden: jax.Array,
        cache: Cache | None,
        layer: Any,
        adapters: Adapters,
        angles: Angles,
        mask: jax.Array,
    ) -> tuple[jax.Array, Cache | None]:
        """[B, T, D] -> [B, T, D]; mask [B or 1, 1, T, S]."""
        config = self.config

        def heads(name: str, count: int) -> jax.Array:
            flat = Projection(count * config.head_dim, name=name)(hidden, adapters.get(name))
            return flat.reshape(*flat.shape[:2], count, config.head_dim)

        query = rotate(heads("query", config.num_heads), angles)
        keys = rotate(heads("key", config.num_kv_heads), angles)
        values = heads("value", config.num_kv_heads)
        if cache is not None:
            place = (layer, 0, cache.length, 0, 0)
            cache = cache._replace(
                keys=jax.lax.dynamic_update_slice(cache.keys, keys[None], place),
                values=jax.lax.dynamic_update_slice(cache.values, values[None], place),
            )
            keys, values = (jax.lax.dynamic_index_in_dim(held, layer, keepdims=False) for held in cache[:2])
        attended = grouped_attention(query, keys, values, mask)
        flat = attended.reshape(*attended.shape[:2], -1)
        return Projection(config.hidden_size, name="output")(flat, adapters.get("output")), cache


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, 2020)."""

    intermediate_size: int

    @nn.compact
    def __call__(self, hidden: jax.Array, adapters: Adapters) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        gate = Projection(self.intermediate_size, name="gate")(hidden, adapters.get("gate"))
        up = Projection(self.intermediate_size, name="up")(hidden, adapters.get("up"))
        return Projection(hidden.shape[-1], name="down")(nn.silu(gate) * up, adapters.get("down"))


class Projection(nn.Module):
    """x W + x A B: a matrix without bias, plain or of eight bits, and a low-rank delta where an adapter is given."""

    features: int
    output_dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, adapter: Adapters | None) -> jax.Array:
        """[B, T, in] -> [B, T, out] in output_dtype, that of x by default."""
        kernel = self.param("kernel", nn.initializers.normal(0.02), (x.shape[-1], self.features), x.dtype)
        if self.has_variable("params", "scale"):
            result = frozen_matmul(x, kernel, self.get_variable("params", "scale"), self.output_dtype)
        else:
            result = jnp.matmul(x, kernel, preferred_element_type=self.output_dtype)
        if adapter is not None:
            low = jnp.matmul(_dropped(x, adapter), adapter["a"].astype(x.dtype))
            result = result + jnp.matmul(low, adapter["b"].astype(x.dtype)).astype(result.dtype)
        return result


def _dropped(x: jax.Array, adapter: Adapters) -> jax.Array:
    """What an adapter sees of x: in training with dropout "keep" of the elements, divided by it, drawn from "key"."""
    if "key" not in adapter:
        return x
    keep = adapter["keep"]
    return jnp.where(jax.random.bernoulli(adapter["key"], keep, x.shape), (x / keep).astype(x.dtype), 0)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * scale (Zhang and Sennrich, 2019), in float32."""

    eps: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, T, D] -> [B, T, D]."""
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), x.dtype)
        wide = x.astype(jnp.float32)
        normed = wide * jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + self.eps)
        return (normed * scale.astype(jnp.float32)[None, None, :]).astype(x.dtype)
