"""Nobody is asked: what the cache does not hold is a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jaxrec.precompute.requests import EmbeddingRequest, Failure, Plan, Reply, Request, Vector

_REASON = "not in the cache, and replay asks nobody"


class ReplayBackend:
    """For chats and embeddings. model: whose answers are to be found in the cache."""

    name = "replay"
    cacheable = True

    def __init__(self, model: str) -> None:
        self.model = model

    def ask(self, requests: Sequence[Request], on_result: Callable[[Reply | Failure], None]) -> None:
        """See Backend."""
        for request in requests:
            on_result(Failure(request.key, _REASON))

    def embed(
        self, requests: Sequence[EmbeddingRequest], on_results: Callable[[Sequence[Vector | Failure]], None]
    ) -> None:
        """See EmbeddingBackend."""
        on_results([Failure(request.key, _REASON) for request in requests])

    def plan(self, requests: Sequence[Request] | Sequence[EmbeddingRequest]) -> Plan:
        """See Backend."""
        notes = (f"{len(requests)} requests are not in the cache, and replay asks nobody",) if requests else ()
        return Plan(requests=len(requests), notes=notes)
