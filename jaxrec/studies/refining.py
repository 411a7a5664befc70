"""What an agent is told that refines a row of a study, and the name of what it makes of a run."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Sequence

from jaxrec.config.fields import leaves
from jaxrec.config.flags import override
from jaxrec.data.prepared_cache import file_digest
from jaxrec.errors import UserError
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig

PREFIX = "--refine."
"""Of a flag that is one of jaxrec.refine behind it: `--refine.backend local`."""
_OF_ALL = "--simulated-user.user-limit"
_UNHASHED = ("out", "answers", "name", "launch_config")


def refining(agent: SimulatedUserConfig, flags: Sequence[str] = ()) -> PrecomputeConfig:
    """The row's agent with the flags laid over it. A model answers by rules, which cost nothing, unless they say more.

    flags: `--refine.…` with their values. They reach agents that are models; user_limit reaches every agent, so that
    all are asked for the same users. Raises UserError for a flag or a value that jaxrec.refine does not take.
    """
    config = PrecomputeConfig(name="agent", steps=("simulated_user",), backend="rules", simulated_user=agent)
    found = override(config, _without_prefix(flags), "python -m jaxrec.study FILE --refine.…")
    if agent.agent != "llm":
        config = override(config, _of_all(_without_prefix(flags)))
        found.validate()
    else:
        config = found
    if config.simulated_user.candidates is not None:
        raise UserError(f"{PREFIX}simulated-user.candidates: found a file, allowed: none, it is the run's")
    config.validate()
    return config


def refined_name(config: PrecomputeConfig) -> str:
    """A folder's name that follows from all that the agent is told: of replies their content."""
    told = {leaf.name: leaf.value for leaf in leaves(config) if leaf.hashed and leaf.name not in _UNHASHED}
    told["checkpoint"] = config.local.checkpoint
    if config.simulated_user.replies is not None:
        try:
            told["replies"] = file_digest(pathlib.Path(config.simulated_user.replies).expanduser())
        except OSError as error:
            raise UserError(f"simulated_user.replies: {config.simulated_user.replies}: {error.strerror}") from error
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
    return f"refined-{config.simulated_user.agent}-top{config.simulated_user.top}-{digest[:8]}"


def _without_prefix(flags: Sequence[str]) -> list[str]:
    return ["--" + word.removeprefix(PREFIX) if word.startswith(PREFIX) else word for word in flags]


def _of_all(flags: Sequence[str]) -> list[str]:
    """The flag of all agents with its value."""
    kept: list[str] = []
    keeping = False
    for word in flags:
        if word.startswith("--"):
            keeping = word.partition("=")[0].replace("_", "-") == _OF_ALL
        if keeping:
            kept.append(word)
    return kept
