"""BERT in Flax, with weights that PyTorch named: transformers' module, filled from a safetensors file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.data.array_files import read_safetensors
from jaxrec.errors import UserError

_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_ACTIVATIONS = ("gelu", "relu", "silu", "swish", "gelu_new", "tanh")


def read_bert_config(path: Path, value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a config.json that decide what BERT computes. Raises UserError where it is no BERT."""
    kind = value.get("model_type")
    if kind != "bert":
        raise UserError(f"{path}: model_type {kind!r}; a sentence encoder of the type bert is needed")
    for field in _SIZES:
        if type(value.get(field)) is not int or value[field] < 1:
            raise UserError(f"{path}: {field} {value.get(field)!r}; a whole number of at least 1 is needed")
    if value["hidden_size"] % value["num_attention_heads"]:
        heads = value["num_attention_heads"]
        raise UserError(
            f"{path}: hidden_size {value['hidden_size']}; a multiple of num_attention_heads {heads} is needed"
        )
    positions = value.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise UserError(f"{path}: position_embedding_type {positions!r}; absolute is supported")
    activation = value.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise UserError(f"{path}: hidden_act {activation!r}; one of {', '.join(_ACTIVATIONS)} is needed")
    epsilon = value.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise UserError(f"{path}: layer_norm_eps {epsilon!r}; a number between 0 and 1 is needed")
    return {field: value[field] for field in _SIZES} | {"hidden_act": activation, "layer_norm_eps": epsilon}


def bert_forward(bert: dict[str, Any], pooling: str, normalize: bool) -> Callable[[Any, Any, Any], jax.Array]:
    """A function of parameters, token ids [B, L] int32 and mask [B, L] int32 that gives vectors [B, D] float32."""
    module = _module(bert)

    def forward(params: Any, ids: jax.Array, mask: jax.Array) -> jax.Array:
        # Full precision, so that vectors are the same on every kind of device up to rounding.
        with jax.default_matmul_precision("highest"):
            hidden = module.apply({"params": params}, ids, mask).last_hidden_state
        if pooling == "cls":
            vectors = hidden[:, 0]
        else:
            weight = mask[:, :, None].astype(hidden.dtype)
            vectors = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
        if normalize:
            vectors = vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    return forward


def read_bert_params(path: Path, bert: dict[str, Any]) -> dict[str, Any]:
    """The module's parameters, float32, out of a file with PyTorch's names (with or without `bert.` before them).

    Raises: UserError where a tensor is missing or has another shape than config.json asks for.
    """
    held = read_safetensors(path)
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in held else ""
    ids = jax.ShapeDtypeStruct((1, 2), np.int32)
    expected = jax.eval_shape(_module(bert).init, jax.random.key(0), ids, ids)["params"]

    def fill(keys: tuple[Any, ...], wanted: jax.ShapeDtypeStruct) -> np.ndarray:
        parts = [key.key for key in keys]
        # A matrix of PyTorch is [out, in], a kernel of Flax [in, out]; scales and tables have other names only.
        name = prefix + ".".join([*parts[:-1], "bias" if parts[-1] == "bias" else "weight"])
        if name not in held:
            raise UserError(f"{path}: no tensor {name}; the weights of a whole BERT are needed")
        found = held[name].T if parts[-1] == "kernel" else held[name]
        if found.shape != wanted.shape:
            shape = list(wanted.shape[::-1] if parts[-1] == "kernel" else wanted.shape)
            raise UserError(f"{path}: tensor {name} has shape {list(held[name].shape)}; {shape} is needed")
        return np.ascontiguousarray(found, dtype=np.float32)

    return jax.tree_util.tree_map_with_path(fill, expected)


def _module(bert: dict[str, Any]) -> Any:
    """transformers' Flax module itself: without the class around it nothing looks for files on the network."""
    try:
        from transformers import BertConfig
        from transformers.models.bert.modeling_flax_bert import FlaxBertModule
    except ImportError as error:
        raise UserError(
            f"text.encoder: transformers with its Flax BERT cannot be imported ({str(error).splitlines()[0]}); "
            'pip install "transformers>=4.57,<5"'
        ) from error

    return FlaxBertModule(BertConfig(**bert), add_pooling_layer=False)
