"""Requests answered by functions: deterministic, without a model, a network or a cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxrec.precompute.requests import Failure, Plan, Reply, Request

Rule = Callable[[Request], dict[str, Any]]


class RulesBackend:
    """rules: by the name of a step, the function that answers its requests out of their facts.

    A value that a rule returns is checked against the schema like any model's answer. Raises: KeyError where a step
    has no rule; what a rule raises.
    """

    name = "rules"
    model = "rules"
    cacheable = False

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = dict(rules)

    def ask(self, requests: Sequence[Request], on_result: Callable[[Reply | Failure], None]) -> None:
        """See Backend."""
        for request in requests:
            value = self._rules[request.step](request)
            on_result(Reply(request.key, json.dumps(value, ensure_ascii=False, allow_nan=False)))

    def plan(self, requests: Sequence[Request]) -> Plan:
        """See Backend: nothing but a count."""
        return Plan(requests=len(requests))
