"""Vectors of pictures and texts by a CLIP out of a local folder, in transformers' Flax module; nothing is downloaded.

The folder holds `config.json`, `model.safetensors`, `tokenizer.json` and `preprocessor_config.json`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.prepared_cache import file_digest
from jaxrec.data.source import digest
from jaxrec.data.tokenizer_file import tokenize
from jaxrec.errors import UserError
from jaxrec.precompute.token_batches import token_batches
from jaxrec.precompute.torch_names import read_flax_params

CONFIG, WEIGHTS, TOKENIZER, PREPROCESSOR = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "preprocessor_config.json",
)
# What transformers takes where a config says nothing (CLIPTextConfig, CLIPVisionConfig), and old ones say little.
_SHARED = {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_TEXT = _SHARED | {
    "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8,
    "max_position_embeddings": 77, "eos_token_id": 49407,
}  # fmt: skip
_VISION = _SHARED | {
    "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "image_size": 224, "patch_size": 32,
}  # fmt: skip
_ACTIVATIONS = ("quick_gelu", "gelu")
_IMAGES_A_BATCH = 32


@dataclasses.dataclass(frozen=True)
class ClipModel:
    """What the files of a folder say. width: numbers a vector. sha256: of all four files."""

    folder: Path
    text: dict[str, Any]
    vision: dict[str, Any]
    width: int
    sha256: str


def read_clip(folder: str | Path) -> ClipModel:
    """Look at a folder without reading its weights. Raises: UserError where it holds no such model."""
    folder = Path(folder).expanduser()
    names = (CONFIG, WEIGHTS, TOKENIZER, PREPROCESSOR)
    for name in names:
        if not (folder / name).is_file():
            raise UserError(f"features.clip: {folder / name} not found; a folder with {', '.join(names)} is needed")
    path = folder / CONFIG
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        sha256 = digest([file_digest(folder / name) for name in names])
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]})") from error
    if not isinstance(value, dict) or value.get("model_type") != "clip":
        raise UserError(f"{path}: no config of model_type clip; a CLIP is needed")
    text, vision = (
        _part(path, value, name, defaults) for name, defaults in (("text_config", _TEXT), ("vision_config", _VISION))
    )
    width = value.get("projection_dim", 512)
    if type(width) is not int or width < 1:
        raise UserError(f"{path}: projection_dim {width!r}; a whole number of at least 1 is needed")
    return ClipModel(folder, text, vision, width, sha256)


class Clip:
    """A CLIP with its weights in memory. Raises: UserError where they do not fit."""

    def __init__(self, model: ClipModel) -> None:
        import jax
        import jax.numpy as jnp

        module = _module(model)
        ids = jax.ShapeDtypeStruct((1, 3), jnp.int32)
        side = model.vision["image_size"]
        pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        expected = jax.eval_shape(module.init, jax.random.key(0), ids, pixels, ids, ids)["params"]
        self._params = jax.device_put(read_flax_params(model.folder / WEIGHTS, expected, "a CLIP"))
        self._model = model

        def of_text(clip: Any, ids: jax.Array, mask: jax.Array) -> jax.Array:
            places = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
            pooled = clip.text_model(input_ids=ids, attention_mask=mask, position_ids=places).pooler_output
            return clip.text_projection(pooled)

        def of_pixels(clip: Any, pixels: jax.Array) -> jax.Array:
            found = clip.vision_model(pixels, output_attentions=False, output_hidden_states=False)
            return clip.visual_projection(found.pooler_output)

        def unit(method: Any) -> Any:
            @jax.jit
            def forward(params: Any, *inputs: jax.Array) -> jax.Array:
                with jax.default_matmul_precision("highest"):
                    vectors = module.apply({"params": params}, *inputs, method=method)
                return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)

            return forward

        self._of_text, self._of_pixels = unit(of_text), unit(of_pixels)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, [n, width] float32; a text is cut to the model's tokens (77)."""
        longest = self._model.text["max_position_embeddings"]
        tokens = tokenize(self._model.folder / TOKENIZER, texts, longest, self._model.text["vocab_size"])
        vectors = np.zeros((len(texts), self._model.width), np.float32)
        for batch in token_batches(tokens, longest, padding=0):
            vectors[batch.rows] = np.asarray(self._of_text(self._params, batch.ids, batch.mask))[: len(batch.rows)]
        return vectors

    def images(self, pixels: Iterable[np.ndarray]) -> np.ndarray:
        """Vectors of length 1, [n, width] float32, of pictures [S, S, 3] float32 as jaxrec…pictures prepares them."""
        vectors, waiting = [], []
        for picture in pixels:
            waiting.append(picture)
            if len(waiting) == _IMAGES_A_BATCH:
                vectors.append(self._batch(waiting))
                waiting = []
        if waiting:
            vectors.append(self._batch(waiting))
        return np.concatenate(vectors) if vectors else np.zeros((0, self._model.width), np.float32)

    def _batch(self, pictures: list[np.ndarray]) -> np.ndarray:
        padded = np.zeros((_IMAGES_A_BATCH, *pictures[0].shape), np.float32)
        padded[: len(pictures)] = pictures
        return np.asarray(self._of_pixels(self._params, padded))[: len(pictures)]


def _part(path: Path, value: dict[str, Any], name: str, defaults: dict[str, Any]) -> dict[str, Any]:
    given = value.get(name)
    if not isinstance(given, dict):
        raise UserError(f"{path}: {name}: an object is needed")
    settings = {key: given.get(key, default) for key, default in defaults.items()}
    for key, found in settings.items():
        if type(defaults[key]) is int and (type(found) is not int or found < 1):
            raise UserError(f"{path}: {name}.{key} {found!r}; a whole number of at least 1 is needed")
    if settings["hidden_act"] not in _ACTIVATIONS:
        raise UserError(f"{path}: {name}.hidden_act {settings['hidden_act']!r}; {' or '.join(_ACTIVATIONS)} is needed")
    epsilon = settings["layer_norm_eps"]
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise UserError(f"{path}: {name}.layer_norm_eps {epsilon!r}; a number between 0 and 1 is needed")
    if settings["hidden_size"] % settings["num_attention_heads"]:
        raise UserError(f"{path}: {name}.hidden_size {settings['hidden_size']}; a multiple of num_attention_heads")
    if given.get("num_channels", 3) != 3 or settings.get("image_size", 1) < settings.get("patch_size", 1):
        raise UserError(f"{path}: {name}: three channels and an image_size of at least patch_size are needed")
    return settings


def _module(model: ClipModel) -> Any:
    """transformers' Flax module itself: without the class around it nothing looks for files on the network."""
    try:
        from transformers import CLIPConfig
        from transformers.models.clip.modeling_flax_clip import FlaxCLIPModule
    except ImportError as error:
        raise UserError(
            f"features.clip: transformers with its Flax CLIP cannot be imported ({str(error).splitlines()[0]}); "
            'pip install "transformers>=4.57,<5"'
        ) from error

    return FlaxCLIPModule(CLIPConfig(text_config=model.text, vision_config=model.vision, projection_dim=model.width))
