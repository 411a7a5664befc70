"""What the model is asked in a simulated user's name, and the rule that answers where there is no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrec.data.source import digest
from jaxrec.precompute.prompts import read_prompt
from jaxrec.precompute.requests import Message, Request
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig
from jaxrec.precompute.simulated_user.task import NAME_CHARS, Task, fill
from jaxrec.precompute.untrusted_text import data_block

NAME = "simulated_user"
PROMPTS = tuple(f"{NAME}_{part}" for part in ("task", "profile", "memory", "rank", "accept_each", "accept_overall"))
_PROFILE_CHARS = 600


def schema_of(template: str, count: int) -> dict[str, Any]:
    """Comments, and a list of at most `count` names under "ranking" or "accepted"."""
    name = answer_key(template)
    names = {"type": "array", "items": {"type": "string", "maxLength": 300}, "maxItems": 2 * count}
    return {
        "type": "object",
        "properties": {"comments": {"type": "string", "maxLength": 2000}, name: names},
        "required": ["comments", name],
        "additionalProperties": False,
    }


def answer_key(template: str) -> str:
    """Under which name the answer holds the list."""
    return "ranking" if template == "rank" else "accepted"


def make_requests(tasks: Sequence[Task], config: SimulatedUserConfig) -> list[Request]:
    """One a user; the key is the integer id. Templates 1, 2 and that of config.template fill one turn."""
    task_prompt, profile, memory = (read_prompt(f"{NAME}_{part}") for part in ("task", "profile", "memory"))
    feedback = read_prompt(f"{NAME}_{config.template}")
    hashes = [prompt.sha256 for prompt in (task_prompt, profile, memory, feedback)]
    requests = []
    for task in tasks:
        schema = schema_of(config.template, len(task.names))
        told = [fill(prompt.text, config.things, config.consumed, task.called) for prompt in (memory, feedback)]
        fields = {
            "profile": task.profile(profile.text, config.things),
            "memory": [name if rating is None else f"{name} ({rating:g})" for name, rating in task.memory],
            "candidates": list(task.names),
        }
        # The name stands in "profile"; no word of a stranger stands outside of the data.
        block = data_block(fields, max(_PROFILE_CHARS, 2 * NAME_CHARS))
        requests.append(
            Request(
                key=str(task.user),
                step=NAME,
                messages=(Message("system", task_prompt.text), Message("user", "\n\n".join([*told, block]))),
                prompt_version=f"{feedback.name} {feedback.version} {digest([hashes, schema])[:16]}",
                schema=schema,
                schema_name=answer_key(config.template),
                max_tokens=300 + 40 * len(task.names),
                seed=config.seed,
                expected_tokens=100 + 8 * len(task.names),
                facts={"names": task.names, "overlap": task.overlap, "answer": answer_key(config.template)},
            )
        )
    return requests


def rule(request: Request) -> dict[str, Any]:
    """Without a model: by how much a candidate is of the kinds that the user chose; accepted is the better half."""
    names, overlap = request.facts["names"], np.asarray(request.facts["overlap"])
    order = np.argsort(-overlap, kind="stable")
    if request.facts["answer"] == "accepted":
        order = order[: (len(order) + 1) // 2]
    return {
        "comments": "By rule: what is most like the kinds of things that were chosen before comes first.",
        request.facts["answer"]: [names[place] for place in order.tolist()],
    }
