"""Prompts as tokens: the same text, each item by its own tokens, and histories cut whole."""

import functools
import itertools

import pytest

from jaxrec.errors import UserError
from jaxrec.llm.tokenizer import read_tokenizer
from jaxrec.models.sealr_config import PromptConfig
from jaxrec.ranker.examples import Example, prompt_of
from jaxrec.ranker.names import ItemTexts, plain_name, unique_texts
from jaxrec.ranker.prompt_text import answer_text, parse, parse_answer, render, template_of
from jaxrec.ranker.prompt_tokens import PromptTokens, prompt_words
from jaxrec.ranker.tiny_tokenizer import END, tiny_tokenizer, with_item_tokens, write_tokenizer
from tests.precompute.hostile_texts import HOSTILE_TEXTS

TITLES = ("Red Lamp", "Red", "もののけ姫", "", "10,000 Nights (new)", "été", "Lamp", *HOSTILE_TEXTS.values())
SAID = {
    "names": ItemTexts(unique_texts([plain_name(title, 8) for title in TITLES])),
    "digits": ItemTexts(tuple(str(number) for number in range(1, 131))),
    "new_tokens": ItemTexts(*[tuple(f"<item_{number}>" for number in range(1, 131))] * 2),
}
EXAMPLE = Example(0, (0, 1, 2, 10), (4, 5, 6, 2, 11), (0, 1, 2, 4), (), (6, 5))


def base_tokenizer(kind):
    """The tiny one, and one as Llama 2 and one as GPT-2 write them: each begins texts and splits words in its way."""
    import tokenizers

    if kind == "tiny":
        return tiny_tokenizer(prompt_words(PromptConfig(), SAID["names"]))
    made = tiny_tokenizer([])
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    words = ["Re", "ed", "▁Re", "▁Red", "Red", "amp", "La", "▁La", "▁1", "1", "0"]
    if kind == "llama":
        vocabulary = ["<s>", END, *spelled, "▁", ":", ",", *words]
        inner = tokenizers.Tokenizer(
            tokenizers.models.Unigram(
                [(token, -10.0 if token in spelled else -float(len(words) - place) / 9) for place, token in
                 enumerate(vocabulary)], unk_id=0, byte_fallback=True
            )
        )  # fmt: skip
        normal, decode = tokenizers.normalizers, tokenizers.decoders
        inner.normalizer = normal.Sequence([normal.Prepend("▁"), normal.Replace(" ", "▁")])
        steps = [decode.Replace("▁", " "), decode.ByteFallback(), decode.Fuse(), decode.Strip(" ", 1, 0)]
        inner.decoder = decode.Sequence(steps)
    else:
        letters = tokenizers.pre_tokenizers.ByteLevel.alphabet()
        vocabulary = {letter: place for place, letter in enumerate(sorted(letters))} | {"Re": 256, "):": 257, END: 258}
        inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[("R", "e"), (")", ":")]))
        inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_special_tokens([END])
    return type(made)(inner, (inner.token_to_id(END),), "", END, (END,), None, made.source)


@functools.cache
def tokenizer_of(kind, items):
    return with_item_tokens(base_tokenizer(kind), SAID[items].new_tokens, spaced=True)


@functools.cache
def tokens_of(kind, items, max_tokens=1024, sentiment=True):
    config, texts = PromptConfig(items=items, max_tokens=max_tokens, sentiment=sentiment), SAID[items]
    tokenizer = tokenizer_of(kind, items)
    return PromptTokens(tokenizer, texts, config), tokenizer, config


@pytest.mark.parametrize("items", SAID)
@pytest.mark.parametrize("kind", ["tiny", "gpt2", "llama"])
def test_tokens_are_those_of_the_text(kind, items):
    tokens, tokenizer, config = tokens_of(kind, items)
    encoded = tokens.encode(EXAMPLE)
    prompt = prompt_of(EXAMPLE, SAID[items], config)
    template = template_of(config)
    assert encoded.cut == 0
    assert encoded.answer[-1] == tokens.end
    answer = tokenizer.decode(encoded.answer)
    said = [SAID[items].texts[item] for item in EXAMPLE.answer]
    assert parse_answer(answer) == tuple(said)
    assert tokenizer.decode(encoded.prompt) == render(template, prompt)
    assert parse(template, tokenizer.decode(encoded.prompt)) == prompt
    # A decoder of the Llama form drops the first blank of a text.
    assert answer.strip() == answer_text(said).strip()
    if items == "new_tokens":
        # One token an item and one between two, in the answer as in lists.
        assert len(encoded.answer) == 2 * len(EXAMPLE.answer)
        assert all(len(tokens.item(item)) == 1 for item in range(len(SAID[items].texts)))
    lists = [tokens.item(item) for item in EXAMPLE.candidates]
    joined = tuple(itertools.chain(lists[0], *((*tokens.separator, *item) for item in lists[1:])))
    assert any(encoded.prompt[start : start + len(joined)] == joined for start in range(len(encoded.prompt)))


@pytest.mark.parametrize("items", SAID)
@pytest.mark.parametrize("kind", ["tiny", "gpt2", "llama"])
def test_no_two_items_have_the_same_tokens(kind, items):
    tokens = tokens_of(kind, items)[0]
    said = [tokens.item(item) for item in range(len(SAID[items].texts))]
    assert len(set(said)) == len(said)
    # Neither an end nor a separator is within an item, so that no list can be read in two ways.
    assert not any(tokens.end in item or tokens.separator[0] in item for item in said)
    for item in (-1, len(said)):
        with pytest.raises(IndexError):
            tokens.item(item)


@pytest.mark.parametrize("sentiment", [True, False])
def test_histories_lose_their_oldest_items_whole(sentiment):
    history, labels = tuple(range(12)), tuple(place % 5 for place in range(12)) if sentiment else ()
    example = Example(0, history, (12, 13), labels)
    roomy = tokens_of("tiny", "digits", sentiment=sentiment)[0]
    whole, rest = (len(roomy.encode(told).prompt) for told in (example, Example(0, (), (12, 13))))
    cuts = []
    for budget in range(rest, whole + 1):
        tokens, tokenizer, config = tokens_of("tiny", "digits", budget, sentiment)
        encoded = tokens.encode(example)
        assert len(encoded.prompt) <= budget
        prompt = parse(template_of(config), tokenizer.decode(encoded.prompt))
        kept = history[encoded.cut :]
        assert prompt.history == tuple(str(item + 1) for item in kept)
        assert len(prompt.sentiments) == sentiment * len(kept)
        cuts.append(encoded.cut)
    # One item after the other, none before it has to.
    assert sorted(set(cuts)) == list(range(len(history) + 1))
    assert cuts == sorted(cuts, reverse=True)
    assert cuts[-2] == 1
    with pytest.raises(UserError, match=f"prompt.max_tokens: found {rest - 1}, but a prompt of 2 candidates") as caught:
        tokens_of("tiny", "digits", rest - 1, sentiment)[0].encode(example)
    assert f"allowed: {rest} or more" in str(caught.value)


def test_a_tokenizer_that_cannot_tell_items_apart_is_refused():
    tokenizer = base_tokenizer("tiny")
    import tokenizers

    blind = with_item_tokens(tokenizer, ())
    blind.inner.normalizer = tokenizers.normalizers.Lowercase()
    tokens = PromptTokens(blind, ItemTexts(("lamp", "LAMP")), PromptConfig(items="names"))
    tokens.item(0)
    with pytest.raises(UserError, match="'lamp' and 'LAMP' have the same tokens"):
        tokens.item(1)


def test_a_tokenizer_without_the_tokens_or_an_end_is_refused():
    import dataclasses

    tokenizer = base_tokenizer("tiny")
    with pytest.raises(UserError, match="no token <item_1>"):
        PromptTokens(tokenizer, SAID["new_tokens"], PromptConfig(items="new_tokens"))
    with pytest.raises(UserError, match="no token that ends an answer"):
        PromptTokens(dataclasses.replace(tokenizer, stop_tokens=()), SAID["digits"], PromptConfig())
    for first, then in ((False, False), (True, True), (False, True)):
        with pytest.raises(UserError, match="has a token <item_1> already"):
            with_item_tokens(with_item_tokens(tokenizer, ("<item_1>",), first), ("<item_1>",), then)


def test_the_tiny_tokenizer_follows_from_its_words_alone(tmp_path):
    words = prompt_words(PromptConfig(), SAID["names"])
    first, again = tiny_tokenizer(words), tiny_tokenizer(words[::-1])
    assert first.inner.to_str() == again.inner.to_str()
    for text in (*HOSTILE_TEXTS.values(), "<0x41> <unk> héé 日本\n\t x  y"):
        kept = text.encode("utf-8", "replace").decode()[:2000]
        if not any(special in kept for special in first.special_texts):
            assert first.decode(first.encode(kept)) == kept
    assert len(first.encode("Recommend ten Red Lamp 17")) == 6
    assert first.encode("x", special_tokens=True)[0] == first.inner.token_to_id(first.bos)
    grown = with_item_tokens(first, ("<item_1>", "<item_2>"))
    assert grown.encode("<item_2><item_1>") == [first.vocab_size + 1, first.vocab_size]
    assert first.inner.token_to_id("<item_1>") is None
    write_tokenizer(tmp_path, grown)
    read = read_tokenizer(tmp_path)
    text = "Recommend <item_2>, Red 17"
    assert read.encode(text, special_tokens=True) == grown.encode(text, special_tokens=True)
    assert (read.stop_tokens, read.vocab_size, read.eos) == (grown.stop_tokens, grown.vocab_size, END)
