"""The key is in nothing that is written or said, whatever the server does with it."""

import contextlib
import io
import logging
import traceback

import pytest

from jaxrec.errors import UserError
from jaxrec.precompute.cache import Cache
from jaxrec.precompute.embedding_runner import EmbeddingRunner
from jaxrec.precompute.openai_backend import OpenAIBackend
from jaxrec.precompute.openai_embeddings import OpenAIEmbeddings
from jaxrec.precompute.openai_settings import read_key
from jaxrec.precompute.runner import Runner
from tests.precompute.asking import requests
from tests.precompute.misbehaving_server import always, at_random

FAULTS = ("400", "500", "429", "echo", "reset", "cut", "half_json", "no_choice", "wrong_schema", "hang")


@pytest.fixture
def written():
    """Everything that any logger says while the test runs, at its most talkative."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root, names = logging.getLogger(), ("openai", "httpx", "httpx2", "httpcore", "httpcore2")
    levels = {name: logging.getLogger(name).level for name in names}
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("fault", ["at random", "401", "404", "400", "500", "echo"])
def test_key_is_in_no_log_cache_result_error_or_traceback(start, settings, tmp_path, key, written, fault):
    server = start(at_random(0.9, 2, FAULTS) if fault == "at random" else always(fault))
    given = settings(server, timeout_seconds=0.3, max_attempts=3, concurrency=8)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), Cache(tmp_path / "c.sqlite") as cache:
        for make, runner, asked in (
            (OpenAIBackend, Runner, requests(30)),
            (OpenAIEmbeddings, EmbeddingRunner, ["one text", "another"]),
        ):
            backend = make(given, cache.path)
            asking = runner(backend, cache)
            try:
                results = asking.ask(asked) if isinstance(asking, Runner) else asking.embed(asked)
                said.write(f"{results!r} {asking.last!r}")
            except UserError as error:
                said.write(f"{error!r} {error}")
                said.write("".join(traceback.format_exception(error)))
                said.write(f"chained: {error.__cause__!r} {error.__context__!r}")
            said.write(f"{backend!r} {vars(backend)!r}")
            backend.close()
    assert server.keys == {f"Bearer {key}"}, "the server did get it"
    texts = {"said": said.getvalue(), "log": written.getvalue(), "settings": repr(given)}
    texts |= {path.name: path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()}
    assert "POST" in texts["log"]
    assert "chained: None None" in texts["said"] or fault not in ("401", "404")
    assert len(texts) >= 5
    for name, text in texts.items():
        assert key not in text, name
        assert key[3:] not in text, name


def test_a_key_shows_itself_to_nobody(key, monkeypatch):
    found = read_key("OPENAI_API_KEY")
    assert key not in f"{found} {found!r} {[found]}"
    assert found.hidden(f"no: Bearer {key}.") == "no: Bearer [key]."
    monkeypatch.setenv("OPENAI_API_KEY", "ключ-secret")
    with pytest.raises(UserError) as caught:
        read_key("OPENAI_API_KEY")
    assert "secret" not in str(caught.value)
