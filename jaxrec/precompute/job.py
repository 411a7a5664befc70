"""What a step is given: requests answered through one cache and shown as they are answered, plans, inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxrec.data.dataset import Dataset
from jaxrec.precompute.answering import Answering
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.display import Display
from jaxrec.precompute.embedding_runner import Embedded, EmbeddingRunner
from jaxrec.precompute.progress import Progress
from jaxrec.precompute.repair import checked_value, repair_request
from jaxrec.precompute.requests import Answer, Failure, Plan, Request
from jaxrec.precompute.runner import Runner
from jaxrec.precompute.schema import InvalidAnswer


class StageJob:
    """The Job of one step (see jaxrec.precompute.step.Job). asked: the figures of every call, in order."""

    def __init__(
        self,
        name: str,
        config: PrecomputeConfig,
        dataset: Dataset,
        answering: Answering,
        display: Display,
        inputs: Mapping[str, Path | None],
    ) -> None:
        self.name, self.config, self.dataset, self.inputs = name, config, dataset, inputs
        self._answering, self._display = answering, display
        self.asked: list[Progress] = []

    @property
    def backend_name(self) -> str:
        """Who answers chats."""
        return self.config.backend

    @property
    def model(self) -> str:
        """The model that answers chats."""
        return self._answering.chat.model

    def ask(self, requests: Sequence[Request]) -> dict[str, Answer | Failure]:
        """See Job."""
        backend = self._answering.chat
        label = requests[0].step.replace("_", " ") if requests else self.name
        with self._display.asking(label) as show:
            runner = Runner(backend, self._answering.cache_of(backend), show)
            try:
                return runner.ask(requests)
            finally:
                self.asked.append(runner.last)

    def embed(self, texts: Sequence[str], width: int | None) -> Embedded:
        """See Job."""
        backend = self._answering.embeddings
        with self._display.asking(self.name) as show:
            runner = EmbeddingRunner(backend, self._answering.cache_of(backend), width, show)
            try:
                return runner.embed(texts)
            finally:
                self.asked.append(runner.last)

    def plan(self, requests: Sequence[Request]) -> Plan:
        """See Job."""
        backend = self._answering.chat
        return Runner(backend, self._answering.cache_of(backend)).plan(requests)

    def plan_embedding(self, texts: Sequence[str], width: int | None) -> Plan:
        """See Job."""
        backend = self._answering.embeddings
        return EmbeddingRunner(backend, self._answering.cache_of(backend), width).plan(texts)

    def known(self, requests: Sequence[Request]) -> dict[str, Any]:
        """See Job."""
        cache = self._answering.cache_of(self._answering.chat)
        if cache is None:
            return {}
        hashes = {request.key: request.hash(self.model) for request in requests}
        replies = cache.replies(list(set(hashes.values())))
        values: dict[str, Any] = {}
        repairs: dict[str, Request] = {}
        for request in requests:
            reply = replies.get(hashes[request.key])
            if reply is None:
                continue
            try:
                values[request.key] = checked_value(request, reply)
            except InvalidAnswer as error:
                repairs[request.key] = repair_request(request, reply, error)
        hashes = {key: repair.hash(self.model) for key, repair in repairs.items()}
        replies = cache.replies(list(set(hashes.values())))
        for key, repair in repairs.items():
            reply = replies.get(hashes[key])
            if reply is not None:
                try:
                    values[key] = checked_value(repair, reply)
                except InvalidAnswer:
                    continue  # it counts as missing, as in a run
        return values

    def notice(self, line: str) -> None:
        """See Job."""
        self._display.notice(line)

    def usage(self) -> dict[str, Any]:
        """What this run asked and what it took: sums over all calls."""
        names = ("total", "done", "cached", "repaired", "failed", "missing", "stopped")
        names += ("prompt_tokens", "completion_tokens", "cost_usd", "estimated", "seconds")
        sums = {name: sum(dataclasses.asdict(progress)[name] for progress in self.asked) for name in names}
        return sums | {"backend": self.backend_name, "answers": str(self._answering.cache_path)}
