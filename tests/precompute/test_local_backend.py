"""The backend of a model on this machine: every answer fits, counts are exact, draws depend on the question alone."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from jaxrec.data.config import DataConfig
from jaxrec.data.prepared import load_dataset
from jaxrec.errors import UserError
from jaxrec.precompute.cache import Cache
from jaxrec.precompute.config import MotivationsConfig, PrecomputeConfig
from jaxrec.precompute.local_backend import LocalBackend
from jaxrec.precompute.local_settings import LocalSettings
from jaxrec.precompute.motivation_requests import item_requests
from jaxrec.precompute.motivation_schema import SCHEMA as MOTIVATIONS
from jaxrec.precompute.requests import Answer, Failure, Reply
from jaxrec.precompute.runner import Runner
from jaxrec.precompute.schema import parse_answer
from tests.llm.test_grammar import NESTED
from tests.llm.tiny_chat import write_tiny_chat
from tests.precompute.asking import SCHEMA, request


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_chat(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def backend(folder):
    return LocalBackend(LocalSettings(str(folder), batch_size=4))


def replies(backend, requests):
    came = []
    backend.ask(requests, came.append)
    assert sorted(one.key for one in came) == sorted(one.key for one in requests)
    return {one.key: one for one in came}


def test_answers_of_different_schemas_fit_and_are_kept(backend, folder, tmp_path):
    asked = [
        request(0, "the lamp", max_tokens=100),
        request(1, "a soft seat", schema=NESTED, max_tokens=250, temperature=1.5),
        request(2, "the warm lamp " * 20, max_tokens=90),
        request(3, "say it", schema=NESTED, max_tokens=250),
    ]
    with Cache(tmp_path / "answers.sqlite") as cache:
        first = Runner(backend, cache).ask(asked)
        assert all(isinstance(answer, Answer) and answer.value for answer in first.values())
        again = Runner(LocalBackend(LocalSettings(str(folder), batch_size=1)), cache).ask(asked)
        assert again == {key: dataclasses.replace(answer, cached=True) for key, answer in first.items()}


def test_counts_are_those_of_the_plan(backend):
    asked = [request(key, schema=schema, max_tokens=80) for key, schema in enumerate((None, SCHEMA))]
    came = replies(backend, asked)
    assert sum(reply.prompt_tokens for reply in came.values()) == backend.plan(asked).prompt_tokens
    text = came["1"]
    assert isinstance(text, Reply)
    assert 5 < text.completion_tokens <= 80
    assert not text.estimated
    assert backend.plan([dataclasses.replace(asked[0], expected_tokens=7)]).completion_tokens == 7
    assert [backend.plan(asked).untimed, backend.plan([]).untimed] == [True, False]


def test_a_draw_depends_on_seed_and_question_and_not_on_the_batch(backend):
    hot = {"temperature": 1.5, "max_tokens": 60}
    asked = [request(0, **hot), request(1, **hot), request(2, "What is 0?", seed=1, **hot)]
    together = replies(backend, asked)
    alone = {one.key: replies(backend, [one])[one.key] for one in reversed(asked)}
    assert together == alone
    assert len({reply.text for reply in together.values()}) == 3


def test_an_answer_that_is_cut_says_so(backend):
    came = replies(backend, [request(0, max_tokens=3), request(1, schema=None, max_tokens=2)])
    assert [came[key].problem for key in "01"] == ["the answer was cut at its most tokens"] * 2
    assert came["1"].completion_tokens == 2


def test_what_is_not_repeated_is_part_of_the_question(folder):
    asked = [request(0, "the lamp", schema=MOTIVATIONS, max_tokens=700)]
    answers = {}
    for run in (0, 2):
        backend = LocalBackend(LocalSettings(str(folder), no_repeat=run))
        answers[asked[0].hash(backend.model)] = parse_answer(replies(backend, asked)["0"].text, MOTIVATIONS)
    first, second = answers.values()
    assert first != second


def test_a_prompt_that_is_too_long_is_missing(backend):
    came = replies(backend, [request(0, "x" * 5000), request(1, max_tokens=60)])
    assert came["0"] == Failure("0", came["0"].reason, "missing")
    assert "the model takes 4096" in came["0"].reason
    assert json.loads(came["1"].text)


def test_its_name_tells_weights_and_dtypes_apart(backend, folder, tmp_path):
    names = {backend.model, LocalBackend(LocalSettings(str(folder), "bfloat16")).model}
    names.add(LocalBackend(LocalSettings(str(folder), weights="int8")).model)
    other = write_tiny_chat(tmp_path / folder.name, rope_theta=10000.0)
    names.add(LocalBackend(LocalSettings(str(other))).model)
    assert len(names) == 4
    assert all(name.startswith(f"{folder.name}@") for name in names)


def test_weights_of_eight_bits_answer_too(folder):
    eight_bits = LocalBackend(LocalSettings(str(folder), weights="int8", batch_size=1))
    reply = replies(eight_bits, [request(0, max_tokens=60)])["0"]
    assert isinstance(reply, Reply)
    assert json.loads(reply.text)
    kernels = eight_bits._generator.params["layers"]["mlp"]["up"]
    assert {name: leaf.dtype.name for name, leaf in kernels.items()} == {"kernel": "int8", "scale": "float32"}


def test_without_a_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"^backend: found local, allowed with --local.checkpoint"):
        PrecomputeConfig(backend="local").validate()
    with pytest.raises(UserError, match=r"^local.checkpoint: not given"):
        LocalBackend(LocalSettings())
    with pytest.raises(UserError, match=r"nowhere: not found"):
        _ = LocalBackend(LocalSettings(str(tmp_path / "nowhere"))).model
    with pytest.raises(UserError, match=r"^local.batch_size: 0; allowed: at least 1$"):
        LocalSettings(batch_size=0).validate()
    with pytest.raises(UserError, match=r"^local.weights: 'int4'; allowed: plain, int8$"):
        LocalSettings(weights="int4").validate()  # type: ignore
    for run in (-1, 1):
        with pytest.raises(UserError, match=rf"^local.no_repeat: {run}; allowed: 0, or at least 2$"):
            LocalSettings(no_repeat=run).validate()


@pytest.mark.models
def test_a_real_model_writes_motivations():
    files = sorted(Path(os.environ.get("JAXREC_MODELS", "none")).glob("smollm2/*.gguf"))
    if not files:
        pytest.skip("JAXREC_MODELS names no folder with smollm2/*.gguf")
    dataset = load_dataset(DataConfig(name="steam", reviews=True), lambda line: None)
    (asked,) = item_requests(dataset, MotivationsConfig(item_limit=1, item_reviews=2))
    # Few tokens, so that the answer has to be led to its end.
    asked = [dataclasses.replace(asked, max_tokens=320)]
    answers = Runner(LocalBackend(LocalSettings(str(files[0])))).ask(asked)
    (answer,) = answers.values()
    assert isinstance(answer, Answer)
    assert len(answer.value["summary"].split()) > 3
