"""A local checkpoint as one thing: a folder as Hugging Face writes it, or a GGUF file."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from jaxrec.errors import UserError
from jaxrec.llm.config import DecoderConfig, Dtype, read_config
from jaxrec.llm.decoder import Params
from jaxrec.llm.gguf_tokenizer import gguf_tokenizer
from jaxrec.llm.gguf_weights import GGUFFile, gguf_config, gguf_params
from jaxrec.llm.quantized import Weights
from jaxrec.llm.tokenizer import Tokenizer, read_tokenizer
from jaxrec.llm.weights import read_params

_FILES = ("*.safetensors", "*.json", "*.jinja")


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """What generation, scoring and training begin from; the parameters are NumPy arrays, on no device yet."""

    config: DecoderConfig
    params: Params
    tokenizer: Tokenizer


def read_checkpoint(path: str | Path, dtype: Dtype = "float32", weights: Weights = "plain") -> Checkpoint:
    """A folder with config.json, safetensors and tokenizer.json, or a .gguf file. Nothing is downloaded.

    dtype: of weights and arithmetic. weights: "int8" holds the projections in eight bits (`quantized`).

    Raises: UserError where something is missing, damaged or not supported, or the parts do not fit together.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        config = read_config(path / "config.json", dtype)
        # First what is quick to refuse.
        tokenizer = read_tokenizer(path)
        _check_vocabulary(config, tokenizer)
        return Checkpoint(config, read_params(path, config, weights), tokenizer)
    if not path.is_file():
        raise UserError(f"{path}: not found; a folder with config.json and safetensors, or a .gguf file, is needed")
    file = GGUFFile(path)
    config, tokenizer = gguf_config(file, dtype), gguf_tokenizer(file)
    _check_vocabulary(config, tokenizer)
    return Checkpoint(config, gguf_params(file, config, weights), tokenizer)


def checkpoint_sha256(path: Path, field: str) -> str:
    """Twelve digits of a SHA-256 of all that a checkpoint consists of. field: what names the path, for messages.

    Raises: UserError where there is none.
    """
    if not path.exists():
        raise UserError(f"{field}: {path}: not found; a folder with safetensors, or a .gguf file, is needed")
    files = [path] if path.is_file() else sorted(file for pattern in _FILES for file in path.glob(pattern))
    whole = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as opened:
                part = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror or error})") from error
        whole.update(f"{'' if file == path else file.name} {part}\n".encode())
    return whole.hexdigest()[:12]


def _check_vocabulary(config: DecoderConfig, tokenizer: Tokenizer) -> None:
    largest = max(tokenizer.inner.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= config.vocab_size:
        raise UserError(
            f"{tokenizer.source}: token id {largest}, but the weights have {config.vocab_size} tokens; "
            "tokenizer and weights of one model are needed"
        )
