"""Texts through cache and backend: one vector each, and a mask for those that have none."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from jaxrec.errors import UserError
from jaxrec.precompute.cache import Cache
from jaxrec.precompute.planning import LEARNED_FROM
from jaxrec.precompute.progress import Meter, Progress
from jaxrec.precompute.requests import EmbeddingBackend, EmbeddingRequest, Failure, Plan, Vector
from jaxrec.precompute.token_counts import estimated_tokens


@dataclasses.dataclass(frozen=True)
class Embedded:
    """values [n, width] float32, zeros where present [n] bool is False; failures say why, by row.

    An empty text is not asked for: it is absent without a failure.
    """

    values: np.ndarray
    present: np.ndarray
    failures: dict[int, Failure]


class EmbeddingRunner:
    """Asks one backend with one cache; arguments as in jaxrec.precompute.runner.Runner. width: None for the model's."""

    def __init__(
        self,
        backend: EmbeddingBackend,
        cache: Cache | None = None,
        width: int | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        wait_seconds: float = 0.5,
    ) -> None:
        self.backend = backend
        self._cache = cache if backend.cacheable else None
        self._width, self._on_progress, self._wait_seconds = width, on_progress, wait_seconds
        self.last = Progress(0)
        """The figures of the last call of embed."""

    def embed(self, texts: Sequence[str]) -> Embedded:
        """One row a text, in their order; equal texts are asked once, and what came is kept whatever ends the call.

        Raises: UserError from the backend or the cache, or where vectors of two widths came.
        """
        rows: dict[str, list[int]] = {}
        for row, request in enumerate(self._requests(texts)):
            if request.text.strip():
                rows.setdefault(request.hash(self.backend.model), []).append(row)
        meter = Meter(sum(map(len, rows.values())), self._on_progress)
        values: np.ndarray | None = None
        present, failures = np.zeros(len(texts), bool), {}

        def got(digest: str, came: Vector | Failure, cached: bool) -> None:
            nonlocal values
            meter.ended(len(rows[digest]), came, cached)
            if isinstance(came, Failure):
                failures.update(dict.fromkeys(rows[digest], came))
                return
            if values is None:
                values = np.zeros((len(texts), len(came.values)), np.float32)
            if len(came.values) != values.shape[1]:
                widths = f"{values.shape[1]} and of {len(came.values)}"
                raise UserError(f"embeddings of {self.backend.model}: vectors of {widths} numbers")
            values[rows[digest]] = came.values
            present[rows[digest]] = True

        try:
            self._gather(
                {digest: EmbeddingRequest(digest, texts[of[0]], self._width) for digest, of in rows.items()}, got, meter
            )
        finally:
            self.last = meter.finish()
        return Embedded(
            np.zeros((len(texts), self._width or 0), np.float32) if values is None else values, present, failures
        )

    def plan(self, texts: Sequence[str]) -> Plan:
        """What `embed` would take now; asks nothing. What the model counted for the texts that are kept is learned."""
        unique = {
            request.hash(self.backend.model): request for request in self._requests(texts) if request.text.strip()
        }
        held = self._cache.vectors(list(unique)) if self._cache is not None else {}
        plan = self.backend.plan([request for digest, request in unique.items() if digest not in held])
        counted = [digest for digest, vector in held.items() if not vector.estimated]
        if len(counted) >= LEARNED_FROM:
            longer = sum(held[digest].prompt_tokens for digest in counted)
            longer /= max(1, sum(estimated_tokens(unique[digest].text) for digest in counted))
            tokens, cost = round(plan.prompt_tokens * longer), plan.cost_usd * longer
            plan = dataclasses.replace(plan, prompt_tokens=tokens, cost_usd=cost)
        return dataclasses.replace(
            plan,
            requests=len(unique),
            cached=len(held),
            cached_prompt_tokens=sum(vector.prompt_tokens for vector in held.values()),
            cached_cost_usd=sum(vector.cost_usd for vector in held.values()),
        )

    def _requests(self, texts: Sequence[str]) -> list[EmbeddingRequest]:
        return [EmbeddingRequest("", text, self._width) for text in texts]

    def _gather(
        self,
        requests: Mapping[str, EmbeddingRequest],
        got: Callable[[str, Vector | Failure, bool], None],
        meter: Meter,
    ) -> None:
        """Call got once for each, by hash: from the cache, from the backend, or from who else is asking it."""
        left = dict(requests)
        while left:
            if self._cache is not None:
                for digest, vector in self._cache.vectors(list(left)).items():
                    del left[digest]
                    got(digest, vector, True)
            mine = self._cache.claim(list(left)) if self._cache is not None else set(left)
            if mine:
                self._ask([request for digest, request in left.items() if digest in mine], got, meter)
                left = {digest: request for digest, request in left.items() if digest not in mine}
            elif left:
                time.sleep(self._wait_seconds)

    def _ask(
        self,
        requests: Sequence[EmbeddingRequest],
        got: Callable[[str, Vector | Failure, bool], None],
        meter: Meter,
    ) -> None:
        """Ask the backend for what is claimed; the key of each request is its hash."""

        def on_results(came: Sequence[Vector | Failure]) -> None:
            vectors = [one for one in came if isinstance(one, Vector)]
            if self._cache is not None and vectors:
                self._cache.keep_vectors([(vector.key, vector) for vector in vectors], self.backend.model)
            for one in came:
                if isinstance(one, Vector):
                    meter.took(one.prompt_tokens, 0, one.cost_usd, one.estimated)
                got(one.key, one, False)

        try:
            self.backend.embed(requests, on_results)
        finally:
            if self._cache is not None:
                self._cache.release([request.key for request in requests])
