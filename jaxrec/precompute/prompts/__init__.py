"""The prompts, each a versioned file: its first line says `version: N`, the rest is the message of the system."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_VERSION = re.compile(r"version: (\d+)\n+")


@dataclasses.dataclass(frozen=True)
class Prompt:
    """text: the message of the system. sha256: of the whole file."""

    name: str
    version: int
    text: str
    sha256: str

    def version_with(self, schema: Mapping[str, Any]) -> str:
        """The Request.prompt_version of this prompt with this schema: a change of either asks anew."""
        digest = hashlib.sha256(json.dumps([self.sha256, schema], sort_keys=True).encode()).hexdigest()
        return f"{self.name} {self.version} {digest[:16]}"


def read_prompt(name: str) -> Prompt:
    """The prompt of a file NAME.md in this folder. Raises: ValueError where its first line names no version."""
    content = Path(__file__).with_name(f"{name}.md").read_text(encoding="utf-8")
    head = _VERSION.match(content)
    if head is None:
        raise ValueError(f"prompts/{name}.md: the first line has to be `version: N`")
    text = content[head.end() :].strip()
    return Prompt(name, int(head[1]), text, hashlib.sha256(content.encode()).hexdigest())
