"""What a user says about a language model on this machine."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True)
class LocalSettings:
    """A checkpoint and how it is run."""

    checkpoint: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder of a Llama-family chat model (config.json, safetensors, tokenizer.json), or a .gguf file."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of weights and arithmetic; bfloat16 takes half the memory, and its answers are others."""
    weights: Literal["plain", "int8"] = "plain"
    """`int8` holds the projections in eight bits, a quarter of float32, on the CPU and accelerators alike."""
    batch_size: int = 8
    """Answers that are written at once."""
    no_repeat: int = 0
    """So many tokens in a row stand once in the texts of an answer, and no text twice; 4 helps small models, 0: off."""

    def validate(self, prefix: str = "local") -> None:
        """Raise UserError where a field is out of its range."""
        if self.batch_size < 1:
            raise UserError(f"{prefix}.batch_size: {self.batch_size}; allowed: at least 1")
        if self.no_repeat < 0 or self.no_repeat == 1:
            raise UserError(f"{prefix}.no_repeat: {self.no_repeat}; allowed: 0, or at least 2")
        if self.dtype not in ("float32", "bfloat16"):
            raise UserError(f"{prefix}.dtype: {self.dtype!r}; allowed: float32, bfloat16")
        if self.weights not in ("plain", "int8"):
            raise UserError(f"{prefix}.weights: {self.weights!r}; allowed: plain, int8")
