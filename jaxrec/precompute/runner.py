"""Requests through cache, backend, check and repair: each ends in one answer or one failure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

from jaxrec.precompute.cache import Cache
from jaxrec.precompute.planning import plan_chats
from jaxrec.precompute.progress import Meter, Progress
from jaxrec.precompute.repair import checked_value, repair_request
from jaxrec.precompute.requests import Answer, Backend, Failure, Plan, Reply, Request
from jaxrec.precompute.schema import InvalidAnswer, check_schema

Got = Callable[[str, Reply | Failure, bool], None]
"""hash, what came, whether out of the cache."""


class Runner:
    """Asks one backend with one cache.

    cache: None asks everything anew (rules). on_progress: told at most once a second and at the end.
    wait_seconds: between looks for what another process is asking.
    """

    def __init__(
        self,
        backend: Backend,
        cache: Cache | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        wait_seconds: float = 0.5,
    ) -> None:
        self.backend = backend
        self._cache = cache if backend.cacheable else None
        self._on_progress, self._wait_seconds = on_progress, wait_seconds
        self.last = Progress(0)
        """The figures of the last call of ask."""

    def ask(self, requests: Sequence[Request]) -> dict[str, Answer | Failure]:
        """One end for every request, by key, in the order of the requests.

        An answer that does not fit the schema is repaired by one more request; one whose repair does not fit, either,
        is a Failure of kind "missing". Equal requests are asked once. What has been answered is kept as it comes,
        whatever ends the call. Raises: ValueError where a key stands twice; UserError from the backend or the cache.
        """
        _check(requests)
        meter = Meter(len(requests), self._on_progress)
        by_hash: dict[str, list[Request]] = {}
        for request in requests:
            by_hash.setdefault(request.hash(self.backend.model), []).append(request)
        results: dict[str, Answer | Failure] = {}
        broken: dict[str, tuple[Request, Reply, bool]] = {}
        repairs: dict[str, list[str]] = {}

        def end(digest: str, what: Answer | Failure, cached: bool, repaired: bool = False) -> None:
            for request in by_hash[digest]:
                results[request.key] = _with_key(what, request.key)
            meter.ended(len(by_hash[digest]), what, cached, repaired)

        def first(digest: str, came: Reply | Failure, cached: bool) -> None:
            if isinstance(came, Failure):
                return end(digest, came, cached)
            request = by_hash[digest][0]
            try:
                return end(digest, _answer(came, checked_value(request, came), cached), cached)
            except InvalidAnswer as error:
                repair = repair_request(request, came, error)
                broken[digest] = repair, came, cached
                # Two answers that are wrong in the same way have one repair.
                repairs.setdefault(repair.hash(self.backend.model), []).append(digest)

        def second(repair_hash: str, came: Reply | Failure, cached: bool) -> None:
            for digest in repairs[repair_hash]:
                request, reply, first_cached = broken[digest]
                if isinstance(came, Failure):
                    end(digest, came, False)
                    continue
                try:
                    value = checked_value(request, came)
                except InvalidAnswer as error:
                    end(digest, Failure(request.key, f"also after a repair: {error}", "missing"), cached)
                    continue
                end(digest, _answer(came, value, cached and first_cached, reply), cached and first_cached, True)

        try:
            self._gather({digest: group[0] for digest, group in by_hash.items()}, first, meter)
            self._gather({digest: broken[group[0]][0] for digest, group in repairs.items()}, second, meter)
        finally:
            self.last = meter.finish()
        return {request.key: results[request.key] for request in requests}

    def plan(self, requests: Sequence[Request]) -> Plan:
        """What `ask` would take now; see jaxrec.precompute.planning. Asks nothing."""
        _check(requests)
        return plan_chats(requests, self.backend, self._cache)

    def _gather(self, requests: Mapping[str, Request], got: Got, meter: Meter) -> None:
        """Call got once for each, by hash: from the cache, from the backend, or from who else is asking it."""
        left = dict(requests)
        while left:
            if self._cache is not None:
                for digest, reply in self._cache.replies(list(left)).items():
                    del left[digest]
                    got(digest, reply, True)
            mine = self._cache.claim(list(left)) if self._cache is not None else set(left)
            if mine:
                self._ask({digest: request for digest, request in left.items() if digest in mine}, got, meter)
                left = {digest: request for digest, request in left.items() if digest not in mine}
            elif left:
                time.sleep(self._wait_seconds)

    def _ask(self, requests: Mapping[str, Request], got: Got, meter: Meter) -> None:
        """Ask the backend for what is claimed; each reply is kept before anything else is done with it."""
        by_key = {request.key: digest for digest, request in requests.items()}
        before = time.monotonic()

        def on_result(came: Reply | Failure) -> None:
            nonlocal before
            seconds, before = time.monotonic() - before, time.monotonic()
            digest = by_key.pop(came.key)
            if isinstance(came, Reply):
                if self._cache is not None:
                    request = requests[digest]
                    # The backend's own estimate: what the plan will correct by what was counted.
                    estimate = self.backend.plan([request]).prompt_tokens
                    self._cache.keep_reply(digest, came, self.backend.model, request.step, estimate, seconds)
                meter.took(came.prompt_tokens, came.completion_tokens, came.cost_usd, came.estimated)
            got(digest, came, False)

        try:
            self.backend.ask(list(requests.values()), on_result)
        finally:
            if self._cache is not None:
                self._cache.release(requests)
        if by_key:
            raise RuntimeError(f"backend {self.backend.name!r} left {len(by_key)} requests without a result")


def _check(requests: Sequence[Request]) -> None:
    if len({request.key for request in requests}) != len(requests):
        raise ValueError("two requests of one call have the same key")
    for schema in {id(request.schema): request.schema for request in requests}.values():
        if schema is not None:
            check_schema(schema)


def _answer(reply: Reply, value: object, cached: bool, before: Reply | None = None) -> Answer:
    """before: the reply that this one repairs; what it took counts, too."""
    parts = [reply] if before is None else [before, reply]
    return Answer(
        key=reply.key,
        text=reply.text,
        value=value,
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        cost_usd=sum(part.cost_usd for part in parts),
        cached=cached,
    )


def _with_key(what: Answer | Failure, key: str) -> Answer | Failure:
    return dataclasses.replace(what, key=key)
