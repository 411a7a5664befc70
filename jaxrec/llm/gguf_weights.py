"""A GGUF file: its metadata, the decoder it describes, and its weights, dequantised."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig, Dtype
from jaxrec.llm.decoder import Params
from jaxrec.llm.quantized import Weights
from jaxrec.llm.rope import RopeScaling
from jaxrec.llm.weights import LAYER_NAMES, TOP_NAMES, fill_params

_LAYER_TENSORS = {
    "attention_norm/scale": "attn_norm",
    "attention/query/kernel": "attn_q",
    "attention/key/kernel": "attn_k",
    "attention/value/kernel": "attn_v",
    "attention/output/kernel": "attn_output",
    "mlp_norm/scale": "ffn_norm",
    "mlp/gate/kernel": "ffn_gate",
    "mlp/up/kernel": "ffn_up",
    "mlp/down/kernel": "ffn_down",
}
_TOP_TENSORS = {"embed/embedding": "token_embd", "norm/scale": "output_norm", "output/kernel": "output"}
_FROM_PYTORCH = {LAYER_NAMES[path]: name for path, name in _LAYER_TENSORS.items()} | {
    TOP_NAMES[path]: name for path, name in _TOP_TENSORS.items()
}
_ROPE_DIVISORS = "rope_freqs.weight"
_ROPE_FACTORS = ("llama.rope.scaling.factor", "llama.rope.scale_linear")
"""Today's name and that of files of 2023."""


class GGUFFile:
    """An opened GGUF file; tensors are mapped, not read, until asked for. Raises UserError where it is damaged."""

    def __init__(self, path: Path) -> None:
        try:
            from gguf import GGUFReader
        except ImportError as error:
            raise UserError(f"{path}: reading GGUF files needs `pip install 'jaxrec[llm]'`") from error
        self.path = path
        try:
            reader = GGUFReader(path)
        # A damaged file surfaces as whatever its nonsense leads the reader into.
        except Exception as error:
            raise UserError(f"{path}: not a whole GGUF file ({_first_line(error)})") from error
        self._fields = reader.fields
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a metadata field, the default where the file has none."""
        field = self._fields.get(key)
        if field is None:
            return default
        try:
            return field.contents()
        except (ValueError, IndexError, UnicodeDecodeError) as error:
            raise UserError(f"{self.path}: field {key} cannot be read ({_first_line(error)})") from error

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """Of all that the file holds, in its order."""
        return tuple(self._tensors)

    def has_tensor(self, name: str) -> bool:
        """Whether the file holds a tensor of this name."""
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a tensor, the slowest axis first. Raises UserError where it is missing."""
        return tuple(int(size) for size in reversed(self._find(name).shape))

    def tensor(self, name: str) -> np.ndarray:
        """A tensor as float32, the slowest axis first. Raises UserError where it is missing or of an unknown type."""
        from gguf import dequantize

        found = self._find(name)
        try:
            values = dequantize(found.data, found.tensor_type)
        except NotImplementedError as error:
            kind = found.tensor_type.name
            raise UserError(f"{self.path}: tensor {name} is of the type {kind}, which gguf does not decode") from error
        except ValueError as error:
            raise UserError(f"{self.path}: tensor {name} cannot be read ({_first_line(error)})") from error
        return values.reshape(self.shape(name))

    def _find(self, name: str) -> Any:
        found = self._tensors.get(name)
        if found is None:
            raise UserError(f"{self.path}: no tensor {name}; the weights of a Llama are needed")
        return found


def gguf_config(file: GGUFFile, dtype: Dtype) -> DecoderConfig:
    """The decoder that the metadata describes. Raises UserError for what this decoder does not compute."""
    architecture = file.get("general.architecture")
    if architecture != "llama":
        raise UserError(f"{file.path}: general.architecture {architecture!r}; supported: llama")
    if file.get("llama.expert_count", 0):
        raise UserError(f"{file.path}: llama.expert_count {file.get('llama.expert_count')}; experts are not supported")
    for name in file.tensor_names:
        if name.endswith(".bias"):
            raise UserError(f"{file.path}: tensor {name}; biases are not supported")
    whole = functools.partial(_number, file, int)
    heads, hidden = whole("attention.head_count"), whole("embedding_length")
    head_dim = whole("attention.key_length", hidden // max(heads, 1))
    for name in ("attention.value_length", "rope.dimension_count"):
        if whole(name, head_dim) != head_dim:
            raise UserError(f"{file.path}: llama.{name} {whole(name)}; supported: the size of a head, {head_dim}")
    config = DecoderConfig(
        # The embeddings say it too, and without reading the names of all tokens.
        vocab_size=file.shape("token_embd.weight")[0],
        hidden_size=hidden,
        intermediate_size=whole("feed_forward_length"),
        num_layers=whole("block_count"),
        num_heads=heads,
        num_kv_heads=whole("attention.head_count_kv", heads),
        head_dim=head_dim,
        max_positions=whole("context_length"),
        rope_base=_number(file, float, "rope.freq_base", 10000.0),
        rope_scaling=_rope_scaling(file),
        rms_norm_eps=_number(file, float, "attention.layer_norm_rms_epsilon"),
        tied_output=not file.has_tensor("output.weight"),
        dtype=dtype,
    )
    config.validate(str(file.path))
    return config


def gguf_params(file: GGUFFile, config: DecoderConfig, weights: Weights = "plain") -> Params:
    """The decoder's parameters as `weights.read_params` gives them. Raises UserError for missing or misshapen tensors.

    Whatever their type in the file is, they are decoded first, and "int8" is a rounding of its own.
    """

    def read(name: str) -> np.ndarray:
        prefix, _, module = name.removesuffix(".weight").partition("model.layers.")
        layer, _, module = module.partition(".") if module else ("", "", prefix)
        tensor = _FROM_PYTORCH[module]
        values = file.tensor(f"blk.{layer}.{tensor}.weight" if layer else f"{tensor}.weight")
        heads = {"attn_q": config.num_heads, "attn_k": config.num_kv_heads}.get(tensor)
        if heads is None or values.shape[0] % (2 * heads):
            return values
        # GGUF pairs the features of a head as neighbours, (0, 1), (2, 3), ...; here i is paired with i + head_dim / 2.
        return values.reshape(heads, -1, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)

    return fill_params(config, read, str(file.path), "weight", weights)


def _rope_scaling(file: GGUFFile) -> RopeScaling:
    given = next((name for name in _ROPE_FACTORS if file.get(name) is not None), None)
    # A factor without a type is a linear one: files from before there were types have no other.
    kind = file.get("llama.rope.scaling.type", "none" if given is None else "linear")
    if kind not in ("none", "linear"):
        raise UserError(f"{file.path}: llama.rope.scaling.type {kind!r}; supported: none, linear")
    if file.has_tensor(_ROPE_DIVISORS):
        if kind != "none":
            raise UserError(f"{file.path}: tensor {_ROPE_DIVISORS} and rope scaling {kind!r}; one is needed")
        return RopeScaling(kind="divisors", divisors=tuple(file.tensor(_ROPE_DIVISORS).ravel().tolist()))
    if kind == "none":
        return RopeScaling()
    name = (given or _ROPE_FACTORS[0]).removeprefix("llama.")
    return RopeScaling(kind="linear", factor=_number(file, float, name))


def _number(file: GGUFFile, kind: type, name: str, default: Any = None) -> Any:
    value = file.get(f"llama.{name}", default)
    if type(value) is not kind:
        raise UserError(f"{file.path}: llama.{name} {value!r}; a {'whole ' if kind is int else ''}number is needed")
    return value


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
