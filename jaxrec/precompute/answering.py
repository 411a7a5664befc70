"""Who answers the requests of a job: the backends and the cache that its config names, opened when first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxrec.errors import UserError
from jaxrec.precompute.cache import Cache
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.replay_backend import ReplayBackend
from jaxrec.precompute.requests import Backend, EmbeddingBackend
from jaxrec.precompute.rules_backend import Rule, RulesBackend

ANSWERS = "answers.sqlite"


class Answering:
    """The backends of a job and their cache. rules: those of all steps, by Request.step."""

    def __init__(self, config: PrecomputeConfig, rules: Mapping[str, Rule]) -> None:
        self._config, self._rules = config, rules
        self._opened: list[Any] = []

    @property
    def cache_path(self) -> Path:
        """Where answers are kept."""
        return Path(self._config.answers or Path(self._config.out) / ANSWERS).expanduser()

    @cached_property
    def chat(self) -> Backend:
        """Who answers chats."""
        config = self._config
        if config.backend == "rules":
            return RulesBackend(self._rules)
        if config.backend == "replay":
            return ReplayBackend(config.replay_model or config.openai.model)
        if config.backend == "local":
            from jaxrec.precompute.local_backend import LocalBackend

            return LocalBackend(config.local)
        from jaxrec.precompute.openai_backend import OpenAIBackend

        return self._keep(OpenAIBackend(config.openai, self._cache_file(), config.name or "precompute"))

    @cached_property
    def embeddings(self) -> EmbeddingBackend:
        """Who turns texts into vectors where a hosted model does."""
        config = self._config
        if config.backend == "replay":
            return ReplayBackend(config.openai.embedding_model)
        from jaxrec.precompute.openai_embeddings import OpenAIEmbeddings

        return self._keep(OpenAIEmbeddings(config.openai, self._cache_file(), config.name or "precompute"))

    @cached_property
    def cache(self) -> Cache:
        """The kept answers."""
        return self._keep(Cache(self._cache_file()))

    def cache_of(self, backend: Backend | EmbeddingBackend) -> Cache | None:
        """The cache where answers of the backend are worth keeping."""
        return self.cache if backend.cacheable else None

    def close(self) -> None:
        """Give everything back that was opened."""
        while self._opened:
            self._opened.pop().close()

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, opened: Any) -> Any:
        self._opened.append(opened)
        return opened

    def _cache_file(self) -> Path:
        path = self.cache_path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"answers: {path.parent}: cannot be made ({error.strerror or error})") from error
        return path
