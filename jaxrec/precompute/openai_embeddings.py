"""Texts turned into vectors by a model behind an address that speaks the OpenAI protocol."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrec.precompute.database import MEMORY
from jaxrec.precompute.ledger import Ledger, Spent
from jaxrec.precompute.openai_backend import bounded_price
from jaxrec.precompute.openai_connection import Connection, GivenUp, Stopped, Unusable, Usage, user_error
from jaxrec.precompute.openai_settings import OpenAISettings, read_key
from jaxrec.precompute.requests import EmbeddingRequest, Failure, Plan, Vector
from jaxrec.precompute.token_counts import estimated_tokens, most_tokens

Results = Sequence[Vector | Failure]
_MOST_TEXTS, _MOST_BYTES = 128, 200_000
"""Of one HTTP request: servers take no more than some 300,000 tokens at once, and a token has a byte or more."""
_SPARE_TOKENS = 4
_SECONDS_A_BATCH = 1.5
_REFUSED = (400, 413, 422)


class OpenAIEmbeddings:
    """A hosted embedding model; several texts travel in one HTTP request. Arguments as in OpenAIBackend."""

    name = "openai"
    cacheable = True

    def __init__(self, settings: OpenAISettings, ledger_path: str | Path = MEMORY, job: str = "precompute") -> None:
        settings.validate()
        self.model = settings.embedding_model
        self._settings = settings
        self._price = bounded_price(self.model, settings)
        self._ledger = Ledger(ledger_path, job, settings.max_usd, settings.max_requests)

    def embed(self, requests: Sequence[EmbeddingRequest], on_results: Callable[[Results], None]) -> None:
        """See EmbeddingBackend. Raises: UserError as OpenAIBackend.ask."""
        key = read_key(self._settings.key_variable)
        fatal = asyncio.run(self._embed(requests, on_results, key))
        if fatal:
            raise user_error(fatal)

    def plan(self, requests: Sequence[EmbeddingRequest]) -> Plan:
        """See EmbeddingBackend."""
        tokens = sum(estimated_tokens(request.text) for request in requests)
        batches = len(_batches(requests))
        return Plan(
            requests=len(requests),
            prompt_tokens=tokens,
            cost_usd=self._price.cost(tokens, 0),
            seconds=_SECONDS_A_BATCH * batches / max(1, min(self._settings.concurrency, batches)),
            notes=() if self._price.known else (f"no price of {self.model} is known: its cost counts as 0",),
        )

    def spent(self) -> Spent:
        """What the job has cost, over all its runs."""
        return self._ledger.spent()

    def close(self) -> None:
        """Give the ledger back."""
        self._ledger.close()

    async def _embed(self, requests: Sequence[EmbeddingRequest], on_results: Callable[[Results], None], key) -> str:
        connection = Connection(self._settings, key, self._ledger)
        batches = iter(_batches(requests))

        async def work() -> None:
            for batch in batches:
                await self._ask(connection, batch, on_results)

        try:
            await asyncio.gather(*(work() for _ in range(self._settings.concurrency)))
        finally:
            await connection.close()
        return connection.fatal

    async def _ask(
        self, connection: Connection, batch: Sequence[EmbeddingRequest], on_results: Callable[[Results], None]
    ) -> None:
        try:
            await connection.exchange(
                lambda: self._send(connection, batch),
                self._price.cost(sum(map(_most, batch)), 0),
                lambda body: self._receive(batch, body),
                on_results,
            )
        except Stopped as stop:
            on_results([Failure(request.key, str(stop), "stopped") for request in batch])
        except GivenUp as end:
            if end.status in _REFUSED and len(batch) > 1:
                # One text that is too long has all of its batch refused: the halves find which.
                middle = len(batch) // 2
                await self._ask(connection, batch[:middle], on_results)
                await self._ask(connection, batch[middle:], on_results)
            else:
                on_results([Failure(request.key, str(end)) for request in batch])

    def _send(self, connection: Connection, batch: Sequence[EmbeddingRequest]) -> Any:
        texts = [request.text.encode("utf-8", "replace").decode() for request in batch]
        body: dict[str, Any] = {"model": self.model, "input": texts, "encoding_format": "float"}
        if batch[0].width is not None:
            body["dimensions"] = batch[0].width
        return connection.client.embeddings.with_raw_response.create(**body)

    def _receive(self, batch: Sequence[EmbeddingRequest], body: Any) -> tuple[list[Vector], Usage]:
        rows = read_vectors(body, len(batch), batch[0].width)
        usage = body.get("usage")
        total: Any = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        most = sum(map(_most, batch))
        believed = type(total) is int and len(batch) <= total <= most
        if believed:
            tokens = _shares(total, [_most(request) for request in batch])
        else:
            tokens = [max(1, estimated_tokens(request.text)) for request in batch]
        vectors = [
            Vector(request.key, row, count, self._price.cost(count, 0), estimated=not believed)
            for request, row, count in zip(batch, rows, tokens, strict=True)
        ]
        cost = self._price.cost(sum(tokens), 0)
        return vectors, Usage(cost, 0.0 if believed else max(0.0, self._price.cost(most, 0) - cost))


def read_vectors(body: Any, count: int, width: int | None) -> np.ndarray:
    """Vectors [count, width] float32 in the order of the texts. Raises: Unusable where one is missing or no vector."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list) or len(data) != count or not all(isinstance(entry, dict) for entry in data):
        raise Unusable(f"the answer does not hold {count} vectors")
    by_place = {entry["index"]: entry.get("embedding") for entry in data if type(entry.get("index")) is int}
    if set(by_place) != set(range(count)):
        raise Unusable("the answer's vectors are not numbered from 0")
    try:
        rows = np.asarray([by_place[place] for place in range(count)], np.float32)
    except (TypeError, ValueError):
        raise Unusable("the answer's vectors are no lists of numbers of one length") from None
    if rows.ndim != 2 or not rows.shape[1] or (width is not None and rows.shape[1] != width):
        raise Unusable(f"the answer's vectors have the shape {rows.shape[1:]}, asked for {width or 'any'}")
    if not np.isfinite(rows).all() or not np.abs(rows).sum(axis=1).all():
        raise Unusable("the answer holds a vector of zeros or with what is no number")
    return rows


def _batches(requests: Sequence[EmbeddingRequest]) -> list[list[EmbeddingRequest]]:
    """Runs of texts of one width, as many as one HTTP request takes."""
    batches: list[list[EmbeddingRequest]] = []
    size = 0
    for request in requests:
        most = _most(request)
        full = not batches or len(batches[-1]) == _MOST_TEXTS or size + most > _MOST_BYTES
        if full or batches[-1][0].width != request.width:
            batches.append([])
            size = 0
        batches[-1].append(request)
        size += most
    return batches


def _most(request: EmbeddingRequest) -> int:
    return most_tokens(request.text) + _SPARE_TOKENS


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to weights, whose sum is the total."""
    ends = [math.floor(total * part / sum(weights)) for part in np.cumsum(weights).tolist()]
    return [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
