"""Answers against a schema: what fits, what does not, and which schemas are refused."""

import json

import pytest

from jaxrec.precompute.motivation_schema import SCHEMA as MOTIVATIONS
from jaxrec.precompute.schema import InvalidAnswer, check_schema, hosted_schema, parse_answer
from jaxrec.precompute.schema_sketch import sketch

NAME = {"type": "string", "minLength": 1, "maxLength": 5}
SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["good", "bad"]},
        "names": {"type": "array", "items": NAME, "minItems": 1, "maxItems": 3},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "count": {"type": ["integer", "null"]},
        "sure": {"type": "boolean"},
    },
    "required": ["kind", "names", "score", "count", "sure"],
    "additionalProperties": False,
}  # fmt: skip
RIGHT = {"kind": "good", "names": ["a", "bcdef"], "score": 0.5, "count": None, "sure": True}


def test_what_fits():
    check_schema(SCHEMA)
    assert parse_answer(json.dumps(RIGHT), SCHEMA) == RIGHT
    assert parse_answer(f"\n```json\n{json.dumps(RIGHT)}\n```\n", SCHEMA) == RIGHT
    assert parse_answer(json.dumps({**RIGHT, "score": 1, "count": 3}), SCHEMA)["score"] == 1
    assert parse_answer("any text", None) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "ugly"}, '"ugly", one of ["good", "bad"] needed'),
        ({"kind": None}, "$.kind: null, string needed"),
        ({"names": []}, "$.names: 0 items, at least 1 needed"),
        ({"names": ["a"] * 4}, "at most 3 needed"),
        ({"names": ["a", ""]}, "$.names[1]: 0 characters"),
        ({"names": ["abcdef"]}, "6 characters, at most 5"),
        ({"names": ["\ud800"]}, "half a surrogate pair"),
        ({"names": "a"}, "array needed"),
        ({"score": 1.5}, "$.score: 1.5, 0 to 1 needed"),
        ({"score": True}, "number needed"),
        ({"count": 1.0}, "integer or null needed"),
        ({"count": True}, "integer or null needed"),
        ({"sure": 1}, "boolean needed"),
        ({"extra": 1}, '"extra" is none of'),
    ],
)
def test_what_does_not_fit_and_where(change, said):
    with pytest.raises(InvalidAnswer) as caught:
        parse_answer(json.dumps({**RIGHT, **change}), SCHEMA)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "  ", "no", "{", json.dumps(RIGHT)[:-1], json.dumps(RIGHT) + "x", "[]", "NaN", "[" * 100_000, "1" * 10_000,
     '{"kind": "good"}', json.dumps(RIGHT).replace("0.5", "Infinity"), json.dumps(RIGHT)[:-1] + ', "kind": "bad"}'],
)  # fmt: skip
def test_what_is_no_answer_at_all(text):
    with pytest.raises(InvalidAnswer) as caught:
        parse_answer(text, SCHEMA)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pattern": "a"}, "pattern"),
        ({"additionalProperties": True}, "allows no other"),
        ({"required": ["kind"]}, "requires all"),
        ({"properties": {}, "required": []}, None),
        ({"type": "thing"}, "'thing'"),
        ({"type": []}, "needs a type"),
        ({"properties": {"a": {"type": "array"}}, "required": ["a"]}, r"\$\.a\[\]"),
    ],
)
def test_schemas_that_leave_something_open_are_refused(change, said):
    if said is None:
        check_schema({**SCHEMA, **change})
        return
    with pytest.raises(ValueError, match=said):
        check_schema({**SCHEMA, **change})


def test_hosted_models_see_no_lengths_of_strings():
    hosted = hosted_schema({**SCHEMA, "properties": {**SCHEMA["properties"], "minLength": {"type": "string"}}})
    assert hosted["properties"]["names"] == {
        "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3
    }  # fmt: skip
    assert "minLength" in hosted["properties"], "a property of that name is none"
    assert "minLength" in SCHEMA["properties"]["names"]["items"]


def test_a_sketch_tells_the_form_in_fewer_words():
    schema = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["é", 'say "hi"']},
            "parts": {"type": "array", "items": {"type": ["string", "null"]}, "minItems": 1, "maxItems": 3},
            "many": {"type": "array", "items": {"type": "integer", "minimum": 3}},
            "sure": {"type": "boolean"},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "any": {"type": "number", "maximum": 1},
            "fixed": {"const": [1]},
        },
    }
    assert sketch(schema) == (
        '{"kind": "é" | "say \\"hi\\"", "parts": [1 to 3 of text | null], "many": [any size of integer of 3 or more], '
        '"sure": true | false, "share": number of 0 to 1, "any": number of up to 1, "fixed": [1]}'
    )
    assert 2 * len(sketch(MOTIVATIONS)) < len(json.dumps(MOTIVATIONS))
