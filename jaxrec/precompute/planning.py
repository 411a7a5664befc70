"""What asking would take, before anything is asked: the cache's figures for what it holds, estimates for the rest.

Estimates learn from what the cache holds of the same step and model: how many tokens the model counts for one of
ours, how long its answers are, and how often an answer had to be repaired. A few dozen answers make them good. Time
that the backend does not know is that of the model's answers so far.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from jaxrec.precompute.cache import Cache, Usage
from jaxrec.precompute.repair import STEP_SUFFIX, checked_value, repair_request
from jaxrec.precompute.requests import Backend, Plan, Reply, Request
from jaxrec.precompute.schema import InvalidAnswer

LEARNED_FROM = 8
"""Fewer answers say little about the rest."""


def plan_chats(requests: Sequence[Request], backend: Backend, cache: Cache | None) -> Plan:
    """The plan of asking these; equal ones are asked once and count once in all but the number of requests."""
    unique = {request.hash(backend.model): request for request in requests}
    held, open_requests = _held(unique, backend.model, cache)
    plan = Plan()
    for step in dict.fromkeys(request.step for request in open_requests):
        of_step = [request for request in open_requests if request.step == step]
        plan += _plan_step(of_step, step, backend, cache)
    if plan.untimed:
        plan = _timed(plan, backend, cache)
    answered = sum(1 for request in requests if request.hash(backend.model) in held)
    return dataclasses.replace(
        plan,
        requests=len(requests),
        cached=answered,
        cached_prompt_tokens=sum(reply.prompt_tokens for replies in held.values() for reply in replies),
        cached_completion_tokens=sum(reply.completion_tokens for replies in held.values() for reply in replies),
        cached_cost_usd=sum(reply.cost_usd for replies in held.values() for reply in replies),
    )


def _held(unique: dict[str, Request], model: str, cache: Cache | None) -> tuple[dict[str, list[Reply]], list[Request]]:
    """By hash the replies of what needs no asking (a repair is the second), and the requests that are open.

    An answer that still waits for its repair counts as held; the repair is what is open.
    """
    if cache is None:
        return {}, list(unique.values())
    replies = cache.replies(list(unique))
    held = {digest: [reply] for digest, reply in replies.items()}
    repairs: dict[str, tuple[str, Request]] = {}
    for digest, reply in replies.items():
        try:
            checked_value(unique[digest], reply)
        except InvalidAnswer as error:
            repair = repair_request(unique[digest], reply, error)
            repairs[repair.hash(model)] = digest, repair
    repaired = cache.replies(list(repairs))
    for repair_hash, reply in repaired.items():
        held[repairs[repair_hash][0]].append(reply)
    open_repairs = [request for repair_hash, (_, request) in repairs.items() if repair_hash not in repaired]
    return held, [request for digest, request in unique.items() if digest not in held] + open_repairs


def _timed(plan: Plan, backend: Backend, cache: Cache | None) -> Plan:
    """The plan with the time that its answers take at the pace of those that are kept, where there are some."""
    pace = cache.seconds_a_token(backend.model) if cache is not None else None
    if pace is None:
        note = f"how long {backend.model} takes is not known before it has answered: ask a few, and plan again"
        return plan + Plan(notes=(note,))
    return dataclasses.replace(plan, seconds=plan.completion_tokens * pace, untimed=False)


def _plan_step(requests: list[Request], step: str, backend: Backend, cache: Cache | None) -> Plan:
    plain = backend.plan(requests)
    learned = cache.usage(backend.model, step) if cache is not None else Usage()
    if cache is None or learned.count < LEARNED_FROM or not learned.prompt_estimate:
        return plain
    longer = learned.prompt_tokens / learned.prompt_estimate
    length = round(learned.completion_tokens / learned.count)
    plan = backend.plan([dataclasses.replace(request, expected_tokens=length) for request in requests])
    prompts = backend.plan([dataclasses.replace(request, expected_tokens=0) for request in requests])
    repairs = cache.usage(backend.model, step + STEP_SUFFIX)
    share = len(requests) / learned.count
    return dataclasses.replace(
        plan,
        prompt_tokens=round(plan.prompt_tokens * longer + share * repairs.prompt_tokens),
        completion_tokens=round(plan.completion_tokens + share * repairs.completion_tokens),
        cost_usd=plan.cost_usd + (longer - 1.0) * prompts.cost_usd + share * repairs.cost_usd,
    )
