"""What a token costs: the table in prices.toml, or a file like it."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from jaxrec.errors import UserError

SHIPPED = Path(__file__).with_name("prices.toml")
_DATE = re.compile(r"-\d{4}-?\d{2}-?\d{2}\Z")
_MILLION = 1_000_000


@dataclasses.dataclass(frozen=True)
class Price:
    """US dollars for a million tokens of prompt and of completion. known: it stands in the table."""

    prompt: float = 0.0
    completion: float = 0.0
    known: bool = True

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars for that many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION


def read_price(model: str, path: str | Path | None = None) -> Price:
    """The price of a model, Price(known=False) where the table does not hold it.

    path: a TOML file of tables, one a model, with prompt and completion; None for the one shipped.
    Raises: UserError where the file cannot be read or a price is no number of at least 0.
    """
    file = Path(path).expanduser() if path is not None else SHIPPED
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"prices: {file}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"prices: {file}: no TOML: {error}") from error
    for name in (model, _DATE.sub("", model)):
        if name in table:
            return Price(_number(file, name, table[name], "prompt"), _number(file, name, table[name], "completion"))
    return Price(known=False)


def _number(file: Path, model: str, entry: Any, field: str) -> float:
    value = entry.get(field) if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise UserError(
            f"prices: {file}: [{model}] {field}: {value!r}; allowed: US dollars a million tokens, at least 0"
        )
    return float(value)
