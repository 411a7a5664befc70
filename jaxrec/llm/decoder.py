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

Where params["layers"] is a tuple of one tree a layer (`unstack`), the layers are written out one after the other:
a step of generation then reads each weight where it lies, while a scan over one token copies a layer before using it.

`adapters` is a tree beside it that holds, for any subset of the projections, {"a": [L, in, r], "b": [L, r, out]}
under the projection's path (without the L for output): x A B is added to what the projection gives.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrec.llm.cache import Cache, causal_mask
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.layers import Adapters, DecoderLayer, Projection, RMSNorm
from jaxrec.llm.rope import rope_angles, rope_frequencies

Params = dict[str, Any]


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
    separate = params["layers"] if isinstance(params["layers"], tuple) else None
    if separate is not None:
        params = {name: tree for name, tree in params.items() if name != "layers"}
    with jax.default_matmul_precision(precision):
        return decoder.apply({"params": params}, tokens, positions, cache, mask, adapters or {}, logits_at, separate)


def init_params(config: DecoderConfig, rng: jax.Array) -> Params:
    """Random parameters."""
    tokens = jnp.zeros((1, 1), jnp.int32)
    decoder: Any = Decoder(config)
    return decoder.init(rng, tokens, tokens, None, None, {}, None, None)["params"]


def unstack(params: Params) -> Params:
    """The same parameters with one tree a layer; the stacked ones stay as they are, so both take memory."""
    layers = params["layers"]
    depth = jax.tree.leaves(layers)[0].shape[0]
    return params | {"layers": tuple(_layer_of(layers, layer) for layer in range(depth))}


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
        separate: tuple[Params, ...] | None,
    ) -> tuple[jax.Array, Cache | None]:
        """Logits and the cache; separate: the parameters of each layer, None where they are stacked in this module."""
        config = self.config
        num_tokens = tokens.shape[1]
        embed = nn.Embed(config.vocab_size, config.hidden_size, config.dtype, config.dtype, name="embed")
        if mask is None:
            start, slots = (0, num_tokens) if cache is None else (cache.length, cache.keys.shape[2])
            mask = causal_mask(num_tokens, slots, start)
        angles = rope_angles(positions, rope_frequencies(config.head_dim, config.rope_base, config.rope_scaling))
        layer = nn.remat(DecoderLayer, prevent_cse=separate is not None) if self.remat else DecoderLayer
        layer_adapters = adapters.get("layers", {})
        carry, shared = (embed(tokens), cache), (angles, mask[:, None])
        if separate is None:
            scan: Any = nn.scan
            layers = scan(
                layer,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=(0, 0, nn.broadcast, nn.broadcast),
                length=config.num_layers,
            )(config, name="layers")
            carry, _ = layers(carry, jnp.arange(config.num_layers), layer_adapters, *shared)
        else:
            for index, own in enumerate(separate):
                one: Any = layer(config, parent=None)
                carry, _ = one.apply({"params": own}, carry, index, _layer_of(layer_adapters, index), *shared)
        hidden, cache = carry
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


def _layer_of(stacked: Any, layer: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[layer], stacked)
