"""What a ranking is called wherever its numbers are printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def ranking_name(protocol: str, record: Mapping[str, Any] | None) -> str:
    """`full`, `multi_target_full` (the whole catalogue, some user with several targets), or `sampled99`.

    record: of this protocol in result.json, None where there is no run. Numbers of different names stand in no common
    table: hit rates of many targets or few candidates are higher by themselves.
    """
    several = record is not None and record.get("single_target") is False
    return "multi_target_full" if protocol == "full" and several else protocol
