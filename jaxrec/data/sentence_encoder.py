"""A sentence encoder of the BERT architecture out of a local folder: texts in, one vector each out.

The folder is one as sentence-transformers writes it: `config.json`, `model.safetensors` and `tokenizer.json`, and
where they are there `modules.json`, `1_Pooling/config.json` and `sentence_bert_config.json`. Nothing is downloaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.data.bert import bert_forward, read_bert_config, read_bert_params
from jaxrec.data.prepared_cache import file_digest
from jaxrec.data.tokenizer_file import tokenize
from jaxrec.errors import UserError

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
_LENGTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Token counts that texts are padded to: few, because each is compiled once; near, because padding is computed too."""
_BATCH_TOKENS = 4096
_NOTICE_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class SentenceEncoder:
    """What the files of a folder say; the weights are read only when texts are encoded.

    pooling: the mean over a text's tokens, or the vector of the first. normalize: vectors are brought to length 1.
    max_length: tokens that a text is cut to. lower: texts are lowered before the tokenizer. sha256: of weights,
    tokenizer and these settings, not of the path.
    """

    folder: Path
    bert: dict[str, Any]
    pooling: str
    normalize: bool
    max_length: int
    lower: bool
    sha256: str

    @property
    def width(self) -> int:
        """Numbers a vector."""
        return self.bert["hidden_size"]


def read_encoder(folder: str | Path) -> SentenceEncoder:
    """Look at a folder without reading its weights.

    Raises: UserError where a file is missing or damaged, or asks for what is not supported.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"text.encoder: {folder} is no folder; allowed: one with {CONFIG}, {WEIGHTS} and {TOKENIZER}")
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: not found; a folder with {CONFIG}, {WEIGHTS} and {TOKENIZER} is needed")
    bert = read_bert_config(folder / CONFIG, _read_object(folder / CONFIG))
    pooling, normalize = _read_modules(folder)
    sentence = _read_object(folder / "sentence_bert_config.json", {})
    max_length = sentence.get("max_seq_length") or bert["max_position_embeddings"]
    if type(max_length) is not int or max_length < 3:
        path = folder / "sentence_bert_config.json"
        raise UserError(f"{path}: max_seq_length {max_length!r}; a whole number of at least 3 is needed")
    max_length = min(max_length, bert["max_position_embeddings"])
    lower = bool(sentence.get("do_lower_case"))
    try:
        digests = [file_digest(folder / name) for name in (WEIGHTS, TOKENIZER)]
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be read ({error.strerror or error})") from error
    settings = ["encoder 1", *digests, bert, pooling, normalize, max_length, lower]
    sha256 = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return SentenceEncoder(folder, bert, pooling, normalize, max_length, lower, sha256)


def encode(encoder: SentenceEncoder, texts: Sequence[str], notice: Callable[[str], None]) -> np.ndarray:
    """Vectors of texts, [n, width] float32. notice: told now and then how far it is.

    Texts are sorted by their number of tokens and run in batches of a few fixed shapes on the default device.

    Raises: UserError where the weights or the tokenizer do not fit.
    """
    import jax

    params = jax.device_put(read_bert_params(encoder.folder / WEIGHTS, encoder.bert))
    words = [text.lower() for text in texts] if encoder.lower else texts
    tokens = tokenize(encoder.folder / TOKENIZER, words, encoder.max_length, encoder.bert["vocab_size"])
    forward = jax.jit(bert_forward(encoder.bert, encoder.pooling, encoder.normalize))
    sizes = np.array([len(ids) for ids in tokens])
    edges = [length for length in _LENGTHS if length < encoder.max_length] + [encoder.max_length]
    bucket = np.searchsorted(edges, sizes)
    vectors = np.zeros((len(texts), encoder.width), np.float32)
    done, told = 0, time.monotonic()
    for place in np.unique(bucket):
        length = edges[place]
        rows_a_batch = max(1, _BATCH_TOKENS // length)
        members = np.flatnonzero(bucket == place)
        for start in range(0, len(members), rows_a_batch):
            rows = members[start : start + rows_a_batch].tolist()
            ids = np.zeros((rows_a_batch, length), np.int32)
            # A row of padding alone would divide by zero: its first token counts, and its vector is dropped.
            mask = np.zeros((rows_a_batch, length), np.int32)
            mask[:, 0] = 1
            for slot, row in enumerate(rows):
                ids[slot, : sizes[row]] = tokens[row]
                mask[slot, : sizes[row]] = 1
            vectors[rows] = np.asarray(forward(params, ids, mask))[: len(rows)]
            done += len(rows)
            if time.monotonic() - told > _NOTICE_SECONDS:
                told = time.monotonic()
                notice(f"encoded {done:,} of {len(texts):,} texts")
    if not np.isfinite(vectors).all():
        raise UserError(f"{encoder.folder / WEIGHTS}: gives vectors that are not finite; whole weights are needed")
    return vectors


def _read_modules(folder: Path) -> tuple[str, bool]:
    """Pooling and normalisation; without modules.json the mean, as it is."""
    path = folder / "modules.json"
    modules = _read_json(path, [])
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise UserError(f"{path}: a list of objects is needed")
    pooling_folder, normalize = "1_Pooling", False
    for module in modules:
        kind = str(module.get("type")).rpartition(".")[2]
        if kind == "Pooling":
            pooling_folder = str(module.get("path") or pooling_folder)
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise UserError(f"{path}: module {kind}; Transformer, Pooling and Normalize are supported")
    return _read_pooling(folder / pooling_folder / "config.json"), normalize


def _read_pooling(path: Path) -> str:
    modes = {
        key.removeprefix("pooling_mode_"): value
        for key, value in _read_object(path, {"pooling_mode_mean_tokens": True}).items()
        if key.startswith("pooling_mode_")
    }
    chosen = sorted(name for name, value in modes.items() if value)
    names = {"mean_tokens": "mean", "cls_token": "cls"}
    if len(chosen) != 1 or chosen[0] not in names:
        raise UserError(f"{path}: pooling {', '.join(chosen) or 'none'}; mean_tokens or cls_token is needed")
    return names[chosen[0]]


def _read_object(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    value = _read_json(path, default)
    if not isinstance(value, dict):
        raise UserError(f"{path}: found a JSON {type(value).__name__}; an object is needed")
    return value


def _read_json(path: Path, default: Any) -> Any:
    """The content of a JSON file, `default` where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({str(error).splitlines()[0]})") from error
