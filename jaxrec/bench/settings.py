"""How a benchmark is run: what the command line says, as every workload sees it."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Settings:
    """repeats: timed repetitions of each variant; torch_python: an interpreter that has PyTorch, or None.

    checkpoint: a language model's folder or .gguf file in place of random weights, where a workload can take one.
    """

    repeats: int = 9
    torch_python: str | None = None
    scale: Literal["small", "full"] = "full"
    checkpoint: str | None = None
