"""Emotions of texts by a RoBERTa that was trained on GoEmotions, out of a local folder; nothing is downloaded.

The folder holds `config.json`, `model.safetensors` and `tokenizer.json`, such as SamLowe/roberta-base-go_emotions.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.prepared_cache import file_digest
from jaxrec.data.source import digest
from jaxrec.data.tokenizer_file import tokenize
from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.mapping import GO_EMOTIONS
from jaxrec.precompute.token_batches import token_batches
from jaxrec.precompute.torch_names import read_flax_params

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
MAX_TOKENS = 512
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_NOTICE_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class EmotionModel:
    """What the files of a folder say; weights are read when texts are classified.

    emotions: the 28 labels in the order of the model's outputs. max_length: tokens that a text is cut to. sha256: of
    weights, tokenizer and config.
    """

    folder: Path
    settings: dict[str, Any]
    emotions: tuple[str, ...]
    max_length: int
    sha256: str


def read_emotion_model(folder: str | Path) -> EmotionModel:
    """Look at a folder without reading its weights. Raises: UserError where it holds no such model."""
    folder = Path(folder).expanduser()
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(
                f"sentiment.model: {folder / name} not found; a folder with {CONFIG}, {WEIGHTS}, {TOKENIZER}"
            )
    path = folder / CONFIG
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        sha256 = digest([file_digest(folder / name) for name in (CONFIG, WEIGHTS, TOKENIZER)])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]})") from error
    if not isinstance(value, dict) or value.get("model_type") != "roberta":
        raise UserError(
            f"{path}: no config of model_type roberta; a RoBERTa with the 28 labels of GoEmotions is needed"
        )
    for field in _SIZES:
        if type(value.get(field)) is not int or value[field] < 1:
            raise UserError(f"{path}: {field} {value.get(field)!r}; a whole number of at least 1 is needed")
    if value["hidden_size"] % value["num_attention_heads"]:
        raise UserError(f"{path}: hidden_size {value['hidden_size']}; a multiple of num_attention_heads is needed")
    epsilon, padding = value.get("layer_norm_eps", 1e-5), value.get("pad_token_id", 1)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise UserError(f"{path}: layer_norm_eps {epsilon!r}; a number between 0 and 1 is needed")
    if type(padding) is not int or not 0 <= padding < value["vocab_size"]:
        raise UserError(f"{path}: pad_token_id {padding!r}; a token id is needed")
    if value.get("hidden_act", "gelu") != "gelu" or value.get("position_embedding_type", "absolute") != "absolute":
        raise UserError(f"{path}: hidden_act gelu and position_embedding_type absolute are needed")
    # RoBERTa's positions begin behind the padding token's own.
    room = value["max_position_embeddings"] - padding - 1
    if room < 3:
        raise UserError(f"{path}: max_position_embeddings {value['max_position_embeddings']}; no room for a text")
    settings = {field: value[field] for field in _SIZES}
    settings |= {"layer_norm_eps": epsilon, "pad_token_id": padding}
    return EmotionModel(folder, settings, _labels(path, value), min(MAX_TOKENS, room), sha256)


class EmotionClassifier:
    """The model with its weights in memory; notice is told now and then how far a call is.

    Raises: UserError where weights or tokenizer do not fit.
    """

    def __init__(self, model: EmotionModel, notice: Callable[[str], None] = lambda line: None) -> None:
        import jax
        import jax.numpy as jnp

        module = _module(model)
        ids = jax.ShapeDtypeStruct((1, 3), jnp.int32)
        expected = jax.eval_shape(module.init, jax.random.key(0), ids, ids, ids, ids, None)["params"]
        what = f"a RoBERTa classifier of {len(model.emotions)} labels"
        self._params = jax.device_put(read_flax_params(model.folder / WEIGHTS, expected, what))
        self._model, self._notice = model, notice
        padding = model.settings["pad_token_id"]

        @jax.jit
        def forward(params: Any, ids: jax.Array, mask: jax.Array) -> jax.Array:
            positions = jnp.cumsum(mask, axis=1) * mask + padding
            with jax.default_matmul_precision("highest"):
                logits = module.apply({"params": params}, ids, mask, jnp.zeros_like(ids), positions, None).logits
            return jax.nn.sigmoid(logits)

        self._forward = forward

    def classify(self, texts: Sequence[str]) -> np.ndarray:
        """Probability of each emotion of each text, [n, 28] float32: a sigmoid each, for a text may have several."""
        model, settings = self._model, self._model.settings
        tokens = tokenize(model.folder / TOKENIZER, texts, model.max_length, settings["vocab_size"])
        probabilities = np.zeros((len(texts), len(model.emotions)), np.float32)
        done, told = 0, time.monotonic()
        for batch in token_batches(tokens, model.max_length, settings["pad_token_id"]):
            found = np.asarray(self._forward(self._params, batch.ids, batch.mask))
            probabilities[batch.rows] = found[: len(batch.rows)]
            done += len(batch.rows)
            if time.monotonic() - told > _NOTICE_SECONDS:
                told = time.monotonic()
                self._notice(f"sentiment: {done:,} of {len(texts):,} texts of this stretch")
        return probabilities


def _labels(path: Path, value: dict[str, Any]) -> tuple[str, ...]:
    """The emotion of each output. Raises: UserError where they are not the 28 of GoEmotions."""
    labels = value.get("id2label")
    named = [labels.get(str(place)) for place in range(len(labels))] if isinstance(labels, dict) else []
    if sorted(map(str, named)) != sorted(GO_EMOTIONS):
        unknown = sorted({str(label) for label in named} - set(GO_EMOTIONS))
        found = f"labels such as {unknown[0]!r}" if unknown else f"{len(named)} labels"
        raise UserError(f"{path}: id2label: found {found}; the 28 emotions of GoEmotions are needed, each once")
    return tuple(map(str, named))


def _module(model: EmotionModel) -> Any:
    """transformers' Flax module itself: without the class around it nothing looks for files on the network."""
    try:
        from transformers import RobertaConfig
        from transformers.models.roberta.modeling_flax_roberta import FlaxRobertaForSequenceClassificationModule
    except ImportError as error:
        raise UserError(
            f"sentiment.model: transformers with its Flax RoBERTa cannot be imported ({str(error).splitlines()[0]}); "
            'pip install "transformers>=4.57,<5"'
        ) from error

    return FlaxRobertaForSequenceClassificationModule(RobertaConfig(num_labels=len(model.emotions), **model.settings))
