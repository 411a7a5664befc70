"""The key is in nothing that is written or said, whatever the server does with it."""

import contextlib
import io
import json
import logging
import pathlib
import traceback

import pytest

from jaxrec.errors import UserError
from jaxrec.precompute.__main__ import main
from jaxrec.precompute.cache import Cache
from jaxrec.precompute.embedding_runner import EmbeddingRunner
from jaxrec.precompute.motivation_schema import TYPICAL
from jaxrec.precompute.openai_backend import OpenAIBackend
from jaxrec.precompute.openai_embeddings import OpenAIEmbeddings
from jaxrec.precompute.openai_settings import read_key
from jaxrec.precompute.runner import Runner
from tests.precompute import misbehaving_server
from tests.precompute.asking import requests, right
from tests.precompute.misbehaving_server import always, at_random

ROOT = pathlib.Path(__file__).resolve().parents[2]

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
    patience = {"timeout_seconds": 0.3} if fault == "at random" else {}
    given = settings(server, max_attempts=3, concurrency=8, **patience)
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


def test_the_command_writes_and_says_no_key(start, settings, tmp_path, key, monkeypatch, capsys):
    """Answers, outputs, manifests, usage, and what stands on the screen, with a server that repeats the key."""
    monkeypatch.chdir(ROOT)
    typical = json.dumps(TYPICAL | {"summary": f"You asked with {key}."})
    monkeypatch.setattr(misbehaving_server, "told_text", lambda body: typical)
    server = start(always("echo"))
    given = settings(server)
    flags = ["--config", "configs/precompute_sample.py", "--backend", "openai", "--out", str(tmp_path / "out")]
    flags += ["--steps", "motivations", "embeddings", "--motivations.item-limit", "4", "--motivations.user-limit", "3"]
    for name in ("base_url", "prices", "model", "embedding_model"):
        flags += [f"--openai.{name.replace('_', '-')}", str(getattr(given, name))]
    assert main(flags) == 0
    server.fault = always("401")
    with pytest.raises(UserError, match="key is refused") as caught:
        main([*flags, "--motivations.seed", "1"])
    shown = capsys.readouterr()
    texts = {path.name: path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()}
    assert {"manifest.json", "usage.json", "item.jsonl", "answers.sqlite"} <= set(texts)
    assert "You asked with [key]." in texts["item.jsonl"]
    texts |= {"shown": shown.out + shown.err, "error": "".join(traceback.format_exception(caught.value))}
    assert [name for name, text in texts.items() if key in text or key[3:] in text] == []


@pytest.mark.parametrize("word", ["e", "EMPTY", "choices"])
def test_a_word_that_stands_for_a_key_changes_no_answer(start, settings, cache, monkeypatch, word):
    monkeypatch.setenv("OPENAI_API_KEY", word)
    backend = OpenAIBackend(settings(start()), cache.path)
    asked = requests(3)
    answers = Runner(backend, cache).ask(asked)
    backend.close()
    assert [answers[one.key].value for one in asked] == [right(one) for one in asked]


def test_secrets_in_the_wrong_place_are_refused_and_not_shown(start, settings, cache, key, monkeypatch):
    server = start()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url.replace("//", "//me:planted-word@"))
    backend = OpenAIBackend(settings(server, base_url=None), cache.path)
    with pytest.raises(UserError, match="OPENAI_BASE_URL: holds a user, a password") as caught:
        backend.ask(requests(1), lambda result: None)
    backend.close()
    assert "planted" not in str(caught.value)
    with pytest.raises(UserError, match="key_variable: found something else") as caught:
        OpenAIBackend(settings(server, key_variable=key), cache.path)
    assert key not in str(caught.value)
    assert server.received == []


def test_a_key_shows_itself_to_nobody(key, monkeypatch):
    found = read_key("OPENAI_API_KEY")
    assert key not in f"{found} {found!r} {[found]}"
    assert found.hidden(f"no: Bearer {key}.") == "no: Bearer [key]."
    monkeypatch.setenv("OPENAI_API_KEY", "ключ-secret")
    with pytest.raises(UserError) as caught:
        read_key("OPENAI_API_KEY")
    assert "secret" not in str(caught.value)
