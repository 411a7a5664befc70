"""Answers under a schema parse whatever the weights want, and end in time whatever the limit."""

import json

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.llm.generate import Generator, Prompt
from jaxrec.llm.grammar import Grammar
from jaxrec.llm.json_length import largest_rise, longest_choice, longest_end, num_texts
from jaxrec.llm.repetition import Repetition
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


def draw(grammar, schema, max_tokens, rng, likes=(), no_repeat=0):
    """An answer of a model that wants anything, or the first of the tokens it likes wherever it may."""
    mask, tokens = grammar.mask(schema, max_tokens, no_repeat), []
    while not mask.finished and len(tokens) < max_tokens:
        may = mask.allowed()
        assert may.shape == (grammar.num_logits,)
        may[list(grammar.tokens.eos_tokens)] = False
        token = next((token for token in likes if may[token]), None)
        token = int(rng.choice(np.flatnonzero(may))) if token is None else token
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
        text, finished = draw(grammar, schema, 450, np.random.default_rng(2), likes=ids[:1])
        assert finished
        parse_answer(text, schema)


def test_texts_that_are_still_to_come_are_given_their_share(grammar):
    schema = closed(first={"type": "string"}, second={"type": "string"})
    x = grammar.tokens.tokenize_str("x")[0]
    value = json.loads(draw(grammar, schema, 300, np.random.default_rng(3), likes=[x])[0])
    assert min(map(len, value.values())) > 20


def test_nothing_is_said_again_where_that_is_asked_for(grammar):
    texts = {"type": "array", "items": closed(text={"type": "string", "minLength": 1, "maxLength": 24})}
    schema = closed(all=texts | {"minItems": 4, "maxItems": 6}, last={"type": "string", "maxLength": 60})
    x, quote, sign = (grammar.tokens.tokenize_str(spelling)[0] for spelling in ("x", '"', "?"))

    def entries(no_repeat, *likes):
        value = parse_answer(draw(grammar, schema, 400, np.random.default_rng(7), likes, no_repeat)[0], schema)
        return [part["text"] for part in value["all"]] + [value["last"]]

    # One that loves a letter, and one that also ends each text as soon as it may.
    assert entries(0, x).count("x" * 24) > 1
    assert sum("xxx" in entry for entry in entries(3, x)) == 1
    assert "xxxx" not in "".join(entries(3, x))
    assert entries(0, quote, x).count("x") > 1
    ended = entries(3, quote, x)
    assert len(set(ended)) == len(ended)
    assert {"x", "xx"} <= set(ended)
    # Signs say nothing.
    assert "?" in entries(0, quote, sign)
    assert all(any(map(str.isalnum, entry)) for entry in entries(3, quote, sign, x) if entry)


def test_what_cannot_be_said_otherwise_is_said_again(grammar):
    """Lengths, limits and fixed words go before: the answer fits whatever was said."""
    fixed = {"type": "string", "enum": ["the lamp the lamp"]}
    single = {"type": "string", "minLength": 1, "maxLength": 1}
    schema = closed(first=fixed, second=fixed, letters={"type": "array", "items": single, "minItems": 3, "maxItems": 3})
    for seed in range(3):
        text, finished = draw(grammar, schema, 200, np.random.default_rng(seed), no_repeat=2)
        assert finished
        assert parse_answer(text, schema)["second"] == "the lamp the lamp"
    for limit in (longest_end(MOTIVATIONS) + largest_rise(MOTIVATIONS) + 16, 300, 700):
        x = grammar.tokens.tokenize_str("x")[0]
        text, finished = draw(grammar, MOTIVATIONS, limit, np.random.default_rng(limit), [x], no_repeat=3)
        assert finished
        parse_answer(text, MOTIVATIONS)


def test_runs_of_tokens_and_texts_are_remembered():
    repetition = Repetition(3)
    for token in (1, 2, 3, 1):
        repetition.take(token, worded=True)
    assert repetition.again() == []
    repetition.take(2, worded=True)
    assert repetition.again() == [3]
    repetition.end()
    for token in (1, 2):
        repetition.take(token, worded=True)
    assert repetition.again() == [3]
    assert not repetition.says_nothing_new
    for token in (4, 1, 2):
        repetition.take(token, worded=True)
    # 1 2 was followed by 3 and by 4.
    assert repetition.again() == [3, 4]
    repetition.end()
    assert not repetition.says_nothing_new
    for token in (1, 2, 3, 1, 2):
        repetition.take(token, worded=True)
    assert repetition.says_nothing_new
    repetition.end()
    assert not repetition.says_nothing_new
    repetition.take(9, worded=False)
    assert repetition.says_nothing_new
    repetition.take(8, worded=True)
    assert not repetition.says_nothing_new
    with pytest.raises(ValueError, match="run 1; at least 2"):
        Repetition(1)


def test_choices_are_the_models_own_while_there_is_room(grammar):
    """All that a tight limit decides is how many elements there are and how long texts are."""
    kinds = {"type": "string", "enum": ["warm", "lamplike things, all of them", "a", "cold"]}
    schema = closed(
        kinds={"type": "array", "items": kinds, "minItems": 2},
        parts={"type": "array", "items": closed(kind=kinds, text={"type": "string"})},
    )
    found, rng = set(), np.random.default_rng(8)
    for _ in range(40):
        text, finished = draw(grammar, schema, 170, rng)
        value = parse_answer(text, schema)
        assert finished
        found |= {*value["kinds"], *(part["kind"] for part in value["parts"])}
    assert found == set(kinds["enum"])
    for limit in range(60, 110):
        text, finished = draw(grammar, schema, limit, rng)
        assert finished
        parse_answer(text, schema)


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


def test_characters_are_spelled_and_not_told_by_their_codes(grammar):
    """A model that copies such a code from its prompt makes control characters of it."""
    quote, backslash, letter = (grammar.tokens.tokenize_str(one)[0] for one in ('"', "\\", "u"))
    mask = grammar.mask({"type": "string"}, 400)
    for token in (quote, letter, backslash):
        assert mask.allowed()[token]
        mask.take(token)
    assert not mask.allowed()[letter]
    assert mask.allowed()[quote]
    mask.take(backslash)
    assert mask.allowed()[letter], "that backslash stands for itself"
    # A fixed value that has no other spelling keeps it.
    schema = closed(odd={"enum": ["\x1f"]})
    assert parse_answer(draw(grammar, schema, 100, np.random.default_rng(0))[0], schema) == {"odd": "\x1f"}


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
    assert longest_choice(schema) == len('"bb"')
