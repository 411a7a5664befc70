"""Waits, prices and counts of tokens."""

import asyncio
import time

import pytest

from jaxrec.errors import UserError
from jaxrec.precompute.prices import Price, read_price
from jaxrec.precompute.token_counts import estimated_tokens, most_prompt_tokens, most_tokens
from jaxrec.precompute.waiting import Gate, backoff, retry_after
from tests.precompute.asking import request
from tests.precompute.hostile_texts import HOSTILE_TEXTS


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "20"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:20:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
    ],
)
def test_what_the_server_names(headers, seconds):
    assert retry_after(headers, now=1445412450.0) == seconds


def test_waits_double_up_to_the_longest_and_are_not_all_alike():
    waits = [[backoff(attempt, 1.0, 10.0) for _ in range(200)] for attempt in range(1, 8)]
    for most, drawn in zip((1, 2, 4, 8, 10, 10, 10), waits, strict=True):
        assert most / 2 <= min(drawn) < 0.6 * most < 0.9 * most < max(drawn) <= most
    assert backoff(10**6, 1.0, 10.0) <= 10.0


def test_a_gate_that_closes_while_someone_waits_holds_longer():
    async def pass_through():
        gate = Gate()
        gate.close_for(0.05)
        passing = asyncio.create_task(gate.passed())
        begin = time.monotonic()
        await asyncio.sleep(0)  # it waits now, and goes on no sooner than this task waits again
        gate.close_for(0.15)
        gate.close_for(0.01)
        await passing
        return time.monotonic() - begin

    assert asyncio.run(pass_through()) >= 0.15


def test_prices(tmp_path):
    assert read_price("gpt-4o-mini") == Price(0.15, 0.60)
    assert read_price("gpt-4o-mini-2024-07-18") == Price(0.15, 0.60)
    assert read_price("text-embedding-3-large").cost(1_000_000, 0) == pytest.approx(0.13)
    assert not read_price("unheard-of").known
    for text, said in (
        ("[m]\nprompt = 1", "completion: None"), ("[m]\nprompt = -1\ncompletion = 0", "prompt: -1"),
        ("[m]\nprompt = nan\ncompletion = 0", "prompt: nan"), ("m = 3", "prompt: None"), ("[m", "no TOML"),
    ):  # fmt: skip
        (tmp_path / "p.toml").write_text(text)
        with pytest.raises(UserError, match=said):
            read_price("m", tmp_path / "p.toml")
    with pytest.raises(UserError, match="cannot be read"):
        read_price("m", tmp_path / "none.toml")


def test_estimates_stay_under_the_bound():
    for text in HOSTILE_TEXTS.values():
        assert 0 <= estimated_tokens(text) <= most_tokens(text)
    # As GPT-4o's tokenizer counts it: 10.
    assert abs(estimated_tokens("The quick brown fox jumps over the lazy dog.") - 10) <= 1
    asked = request("a", "x" * 1000)
    assert most_prompt_tokens(asked) > 1000
