import pytest

from jaxrec.precompute.cache import Cache
from jaxrec.precompute.openai_settings import OpenAISettings
from tests.precompute.misbehaving_server import PRICES, MisbehavingServer

KEY = "sk-planted-0123456789abcdef"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    """A key in the environment, and nothing else that would lead the client elsewhere."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return KEY


@pytest.fixture
def start():
    """Starts servers; all of them stop with the test."""
    import contextlib

    with contextlib.ExitStack() as servers:
        yield lambda *arguments, **options: servers.enter_context(MisbehavingServer(*arguments, **options))


@pytest.fixture
def settings(tmp_path):
    """Settings with short waits for a server, and a time-out that no busy machine reaches."""
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)

    def make(server, **changes):
        given = {
            "model": "test-chat",
            "embedding_model": "test-embed",
            "base_url": server.url,
            "concurrency": 4,
            "timeout_seconds": 60.0,
            "first_wait_seconds": 0.01,
            "longest_wait_seconds": 0.05,
            "patience_seconds": 120.0,
            "prices": str(prices),
        }
        return OpenAISettings(**(given | changes))

    return make


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache.sqlite") as cache:
        yield cache
