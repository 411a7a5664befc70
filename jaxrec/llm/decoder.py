"""The decoder as pure functions: tokens in, logits out, with or without a cache of keys and values.

Parameters are one nested dict; those of all layers lie in one array each, the layer first, and the layers run in one
scan, so that compile time does not grow with depth. Kernels are [in, out].

    embed/embedding [V, D]
    layers/attention_norm/scale [L, D]
    layers/attention/{query,key,value}/kernel [L, D, heads * head_dim], output/kernel [L, heads * head_dim, D]
    layers/mlp_norm/scale [L, D]
    layers/mlp/{gate,up}/kernel [L, D, F], down/kernel [L, F, D]
    norm/scale [D]
    output/kernel [D, V]                    absent where the output is tied to the embeddings

`adapters` is a tree beside it that holds, for any subset of the projections, {"a": [L, in, r], "b": [L, r, out]}
under the projection's path (without the L for output): x A B is added to what the projection gives.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.rope import rope_angles, rope_frequencies, rotate

Params = dict[str, Any]
Adapters = dict[str, Any]
Angles = tuple[jax.Array, jax.Array]


class Cache(NamedTuple):
    """Keys and values of the tokens seen: [L, B, S, kv_heads, head_dim]; length: slots filled, a scalar int32.

    A call writes its T tokens into the slots from length on, the same ones in every row. Positions are another
    matter: rows padded at the left have their own.
    """

    keys: jax.Array
    values: jax.Array
    length: jax.Array


def empty_cache(config: DecoderConfig, batch_size: int, num_slots: int) -> Cache:
    """A cache that has seen nothing."""
    shape = (config.num_layers, batch_size, num_slots, config.num_kv_heads, config.head_dim)
    return Cache(jnp.zeros(shape, config.dtype), jnp.zeros(shape, config.dtype), jnp.zeros((), jnp.int32))


def causal_mask(num_tokens: int, num_slots: int, start: jax.Array | int = 0) -> jax.Array:
    """[1, T, S] bool: token t, in slot start + t, attends to that slot and those before it."""
    slots = jnp.arange(num_slots)[None, None, :]
    return slots <= (start + jnp.arange(num_tokens))[None, :, None]


def forward(
    params: Params,
    config: DecoderConfig,
    tokens: jax.Array,
    positions: jax.Array,
    cache: Cache | None = None,
    mask: jax.Array | None = None,
    *,
    adapters: Adapters | None = None,
    logits_at: jax.Array | None = None,
    remat: bool = False,
) -> tuple[jax.Array, Cache | None]:
    """Logits of the next token, and the cache with these tokens in it.

    tokens, positions: [B, T] int32. cache: with at least T free slots, or None. mask: [B or 1, T, S] bool, True where
    a token attends to a slot, S being the cache's slots, or T without one; None is causal. adapters: see above.
    logits_at: [B, N] int32, the tokens of each row whose logits are wanted, all of them by default. remat: layers are
    computed anew in the backward pass instead of kept. Returns [B, T or N, V] float32 and the cache, None for None.
    """
    # Without this an accelerator would multiply float32 in fewer bits.
    precision = "highest" if config.dtype == "float32" else "default"
    decoder: Any = Decoder(config, remat)
    with jax.default_matmul_precision(precision):
        return decoder.apply({"params": params}, tokens, positions, cache, mask, adapters or {}, logits_at)


def init_params(config: DecoderConfig, rng: jax.Array) -> Params:
    """Random parameters."""
    tokens = jnp.zeros((1, 1), jnp.int32)
    decoder: Any = Decoder(config)
    return decoder.init(rng, tokens, tokens, None, None, {}, None)["params"]


def param_shapes(config: DecoderConfig) -> Params:
    """Shapes and dtypes of the parameters, without any memory for them."""
    return jax.eval_shape(functools.partial(init_params, config), jax.random.key(0))


class Decoder(nn.Module):
    """Embedding, scanned layers, norm and output; see `forward`."""

    config: DecoderConfig
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        tokens: jax.Array,
        positions: jax.Array,
        cache: Cache | None,
        mask: jax.Array | None,
        adapters: Adapters,
        logits_at: jax.Array | None,
    ) -> tuple[jax.Array, Cache | None]:
        """Logits and the cache."""
        config = self.config
        num_tokens = tokens.shape[1]
        embed = nn.Embed(config.vocab_size, config.hidden_size, config.dtype, config.dtype, name="embed")
        if mask is None:
            start, slots = (0, num_tokens) if cache is None else (cache.length, cache.keys.shape[2])
            mask = causal_mask(num_tokens, slots, start)
        angles = rope_angles(positions, rope_frequencies(config.head_dim, config.rope_base, config.rope_scaling))
        layer = nn.remat(DecoderLayer, prevent_cse=False) if self.remat else DecoderLayer
        scan: Any = nn.scan
        layers = scan(
            layer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, 0, nn.broadcast, nn.broadcast),
            length=config.num_layers,
        )(config, name="layers")
        scanned = (jnp.arange(config.num_layers), adapters.get("layers", {}))
        (hidden, cache), _ = layers((embed(tokens), cache), *scanned, angles, mask[:, None])
        if cache is not None:
            cache = cache._replace(length=cache.length + num_tokens)
        if logits_at is not None:
            hidden = jnp.take_along_axis(hidden, logits_at[:, :, None], axis=1)
        hidden = RMSNorm(config.rms_norm_eps, name="norm")(hidden)
        if config.tied_output:
            table = embed.embedding
            logits = jnp.einsum("btd,vd->btv", hidden, table, preferred_element_type=jnp.float32)
        else:
            output = Projection(config.vocab_size, jnp.float32, name="output")
            logits = output(hidden, adapters.get("output"))
        return logits, cache


class DecoderLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); one step of the scan over layers."""

    config: DecoderConfig

    @nn.compact
    def __call__(
        self, carry: tuple[jax.Array, Cache | None], layer: jax.Array, adapters: Adapters, angles: Angles, mask: Any
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
        layer: jax.Array,
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
        attended = jax.nn.dot_product_attention(query, keys, values, mask=mask)
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
    """x W + x A B: a matrix without bias, and a low-rank delta where an adapter is given."""

    features: int
    output_dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, adapter: Adapters | None) -> jax.Array:
        """[B, T, in] -> [B, T, out] in output_dtype, that of x by default."""
        kernel = self.param("kernel", nn.initializers.normal(0.02), (x.shape[-1], self.features), x.dtype)
        result = jnp.matmul(x, kernel, preferred_element_type=self.output_dtype)
        if adapter is not None:
            low = jnp.matmul(x, adapter["a"].astype(x.dtype))
            result = result + jnp.matmul(low, adapter["b"].astype(x.dtype)).astype(result.dtype)
        return result


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
