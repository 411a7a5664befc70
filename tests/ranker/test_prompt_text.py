"""Prompts as text: the paper's words, and the way back from any of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrec.models.sealr_config import PromptConfig
from jaxrec.ranker.names import NAME_CHARS, ItemTexts, plain_name, unique_texts
from jaxrec.ranker.prompt_text import (
    PROMPTS,
    Prompt,
    answer_text,
    parse,
    parse_answer,
    read_template,
    render,
    template_of,
)
from tests.precompute.hostile_texts import HOSTILE_TEXTS

FIGURE_3 = """Instruction: Recommend ten movies from the candidate list based on user's interaction history and \
sentiment label from the reviews.

Input:
Interaction history: 3, 14
Sentiment label: Strong Positive, Neutral
Candidate list: 15, 9, 2

Output:
Recommend Products:"""


def test_the_template_is_that_of_figure_3():
    prompt = Prompt("movies", ("3", "14"), ("15", "9", "2"), ("Strong Positive", "Neutral"))
    text = render(template_of(PromptConfig()), prompt)
    assert text == FIGURE_3
    assert parse(template_of(PromptConfig()), text) == prompt
    assert text + answer_text(("9", "2")) == FIGURE_3 + " 9, 2"


def test_without_sentiments_nothing_speaks_of_them():
    template = template_of(PromptConfig(sentiment=False))
    text = render(template, Prompt("movies", ("3", "14"), ("15",)))
    assert "entiment" not in text
    assert text == FIGURE_3.replace(" and sentiment label from the reviews", "").replace(
        "Sentiment label: Strong Positive, Neutral\n", ""
    ).replace("15, 9, 2", "15")


names = st.lists(
    st.one_of(st.text(max_size=60), st.sampled_from([text[:200] for text in HOSTILE_TEXTS.values()])), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(history=names, pool=names, category=st.from_regex(r"[A-Za-z]{1,9}( [A-Za-z]{1,9})?", fullmatch=True))
def test_any_names_come_back_out_of_any_prompt(history, pool, category):
    titles = [*history, *pool]
    texts = unique_texts([plain_name(title, 8) for title in titles])
    assert len(set(texts)) == len(texts)
    items = ItemTexts(texts)
    assert [items.item(text) for text in texts] == list(range(len(texts)))
    told, shown = texts[: len(history)], texts[len(history) :]
    for name in PROMPTS:
        sentiments = ("Neutral",) * len(told) if name == "sealr" else ()
        prompt = Prompt(category, told, shown, sentiments, shown[:2] if name == "palr" else ())
        template = read_template(name)
        text = render(template, prompt)
        assert parse(template, text) == prompt
        # No name makes a line of its own.
        assert text.count("\n") == sum(words.count("\n") for words in template.words)
    assert parse_answer(answer_text(shown)) == shown


@pytest.mark.parametrize("name", HOSTILE_TEXTS)
def test_a_name_spells_no_control_token_and_no_separator(name):
    said = plain_name(HOSTILE_TEXTS[name], 8)
    assert not set(said) & set(',;<>[]{}|"`\n\r\u2028\ud800')
    assert len(said) <= NAME_CHARS
    assert len(said.split()) <= 8


def test_names_are_the_first_words_in_any_script():
    assert plain_name("The Lord of the Rings: The Two Towers (2002), Extended", 5) == "The Lord of the Rings"
    assert plain_name("  もののけ姫\n(1997) ", 8) == "もののけ姫 (1997)"
    assert plain_name("हिन्दी फ़िल्म", 8) == "हिन्दी फ़िल्म"
    assert plain_name("*** ??? !!!", 8) == ""
    assert len(plain_name("x" * 50_000, 8)) == NAME_CHARS


def test_equal_names_are_told_apart_and_missing_ones_numbered():
    assert unique_texts(["a", "a", "a (2)", "", "a", "item 4", ""]) == (
        "a", "a (3)", "a (2)", "item 4 (2)", "a (4)", "item 4", "item 7",
    )  # fmt: skip


def test_ids_out_of_range_and_unknown_names_are_no_items():
    items = ItemTexts(tuple(str(number) for number in range(1, 4)))
    assert [items.item(text) for text in ("1", "3", "0", "4", "-1", "1.0", "01", "", "x" * 50_000)] == [
        0, 2, *[None] * 7,
    ]  # fmt: skip
    assert parse_answer(" 3, 3,, 99 ,\nthe rest is talk, 1") == ("3", "3", "99")


@pytest.mark.parametrize("value", ["a, b", "a\nb", "a\u2028b", "", " a", "a,"])
def test_a_value_that_would_not_come_back_is_refused(value):
    template = template_of(PromptConfig(sentiment=False))
    with pytest.raises(ValueError, match="history"):
        render(template, Prompt("movies", (value,), ("1",)))


def test_what_the_template_has_no_field_for_is_refused():
    template = template_of(PromptConfig(sentiment=False))
    with pytest.raises(ValueError, match="no field for sentiments"):
        render(template, Prompt("movies", ("1",), ("2",), ("Neutral",)))
    with pytest.raises(ValueError, match="one each"):
        render(template_of(PromptConfig()), Prompt("movies", ("1",), ("2",), ("Neutral", "Neutral")))
    with pytest.raises(ValueError, match="no prompt of template"):
        parse(template, FIGURE_3)
