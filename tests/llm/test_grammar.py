"""Answers under a schema parse whatever the weights want, and end in time whatever the limit."""

import json

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.generate import Generator, Prompt
from jaxrec.llm.grammar import Grammar
from jaxrec.llm.json_length import largest_rise, longest_end, num_texts
from jaxrec.llm.sharding import place
from jaxrec.precompute.motivation_schema import SCHEMA as MOTIVATIONS
from jaxrec.precompute.schema import parse_answer
from tests.llm.tiny_chat import read_tiny_chat


def closed(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


KIND = {"type": "string", "enum": ['say "hi"', "naïve", "日本", "back\\slash", ""]}
NESTED = closed(
    kind=KIND,
    pairs={
        "type": "array",
        "items": closed(words={"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3}, kind=KIND),
        "minItems": 1,
        "maxItems": 2,
    },
    count={"type": "integer", "minimum": 12, "maximum": 340},
    maybe={"type": ["string", "null"], "minLength": 2, "maxLength": 20},
    whether={"type": "boolean"},
    last={"type": "string", "minLength": 3},
)
OPEN = closed(many={"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, text={"type": "string"})
SCHEMAS = (NESTED, OPEN, MOTIVATIONS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return read_tiny_chat(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def grammar(tiny):
    return Grammar(tiny.tokenizer, tiny.config.vocab_size)


def draw(grammar, schema, max_tokens, rng, likes=None):
    """An answer of a model that wants anything, or with `likes` one token wherever it may."""
    mask, tokens = grammar.mask(schema, max_tokens), []
    while not mask.finished and len(tokens) < max_tokens:
        may = mask.allowed()
        assert may.shape == (grammar.num_logits,)
        may[list(grammar.tokens.eos_tokens)] = False
        token = likes if likes is not None and may[likes] else int(rng.choice(np.flatnonzero(may)))
        mask.take(token)
        tokens.append(token)
    return grammar.text(tokens), mask.finished


@pytest.mark.parametrize("schema", SCHEMAS)
def test_answers_of_random_tokens_fit_the_schema(grammar, schema):
    rng = np.random.default_rng(0)
    values = [parse_answer(draw(grammar, schema, 1200, rng)[0], schema) for _ in range(4)]
    assert len({json.dumps(value) for value in values}) > 1


@pytest.mark.parametrize("schema", SCHEMAS)
def test_answers_end_within_any_limit_that_the_least_answer_needs(grammar, schema):
    rng = np.random.default_rng(1)
    least = longest_end(schema) + largest_rise(schema) + 16
    for limit in (least, least + 7, least + 90, 700):
        text, finished = draw(grammar, schema, limit, rng)
        assert finished
        parse_answer(text, schema)


@pytest.mark.parametrize("spelling", ["\\", "x", ",", "9", "æ"])
def test_answers_that_will_not_end_are_ended(grammar, spelling):
    ids = grammar.tokens.tokenize_str(spelling)
    for schema in SCHEMAS:
        text, finished = draw(grammar, schema, 450, np.random.default_rng(2), likes=ids[0])
        assert finished
        parse_answer(text, schema)


def test_texts_that_are_still_to_come_are_given_their_share(grammar):
    schema = closed(first={"type": "string"}, second={"type": "string"})
    x = grammar.tokens.tokenize_str("x")[0]
    value = json.loads(draw(grammar, schema, 300, np.random.default_rng(3), likes=x)[0])
    assert min(map(len, value.values())) > 20


def test_too_small_a_limit_is_seen(grammar):
    text, finished = draw(grammar, MOTIVATIONS, 20, np.random.default_rng(4))
    assert not finished
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_different_schemas_in_one_batch(tiny, grammar):
    generator = Generator(place(tiny.params, tiny.config, None), tiny.config, tiny.tokenizer.stop_tokens)
    schemas = [NESTED, OPEN, None, NESTED, MOTIVATIONS]
    prompts = [
        Prompt(
            tiny.tokenizer.encode(f"the lamp {row}"),
            500,
            temperature=2.0,
            seed=row,
            mask=None if schema is None else grammar.mask(schema, 500),
        )
        for row, schema in enumerate(schemas)
    ]
    answers = generator.generate(prompts)
    for schema, answer in zip(schemas, answers, strict=True):
        if schema is not None:
            assert answer.stopped
            parse_answer(grammar.text(answer.tokens), schema)


def test_no_answer_spells_half_a_surrogate_pair(grammar):
    """It would parse, and could not be written to any file."""
    quote, backslash, letter, high = (grammar.tokens.tokenize_str(one)[0] for one in ('"', "\\", "u", "d"))
    mask = grammar.mask({"type": "string"}, 1000)
    mask.take(quote)
    mask.take(backslash)
    if mask.allowed()[letter]:
        mask.take(letter)
        assert not mask.allowed()[high]


def test_a_token_that_is_not_allowed_is_refused(grammar):
    mask = grammar.mask(NESTED, 100)
    with pytest.raises(ValueError, match="token"):
        mask.take(grammar.tokens.tokenize_str("x")[0])


def test_a_schema_that_no_grammar_knows(grammar):
    with pytest.raises(ValueError, match=r"^schema: "):
        grammar.mask({"type": "nothing"}, 100)


def test_without_the_package(tiny, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(UserError, match=r"pip install 'jaxrec\[llm\]'"):
        Grammar(tiny.tokenizer, tiny.config.vocab_size)


def test_lengths_of_ends_by_hand():
    schema = closed(a={"type": "array", "items": {"enum": ["bb", 1]}, "minItems": 2}, t={"type": "string"})
    # {"a":["bb","bb",],"t":"",} as counted, a comma after every part.
    assert longest_end(schema) == len('{"a":["bb","bb",],"t":"",}')
    assert (largest_rise(schema), num_texts(schema)) == (5, 1)
