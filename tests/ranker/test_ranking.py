"""Orders of candidates against the decoder by hand: by score, by writing a list, and what stands behind it."""

import numpy as np
import pytest

from jaxrec.llm.config import read_config
from jaxrec.llm.generate import Generator
from jaxrec.llm.score import Scorer
from jaxrec.llm.sharding import place
from jaxrec.llm.weights import read_params
from jaxrec.ranker.ranking import Ranked, Request, full_order, rank_by_generation, rank_by_score
from tests.llm.tiny_llama import logits_by_hand, tensors, write_folder

HELD = tensors()
END, COMMA = 39, 38
RNG = np.random.default_rng(3)
# Numbers as digits 0 to 9: some begin with others.
POOL = [(1,), (1, 2), (1, 2, 3), (2,), (4, 5)]
REQUESTS = [Request(RNG.integers(10, 38, length).tolist(), POOL[:count]) for length, count in ((9, 5), (3, 4), (6, 5))]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return place(read_params(folder, config), config, None), config


def log_probs(tokens):
    logits = logits_by_hand(list(tokens), HELD)[-1].astype(np.float64)
    return logits - np.logaddexp.reduce(logits)


def log_prob(prompt, tokens):
    return sum(log_probs([*prompt, *tokens[:place]])[token] for place, token in enumerate(tokens))


def test_a_score_is_how_probable_the_whole_item_is_as_the_first_of_the_answer(decoder):
    scorer = Scorer(*decoder, batch_size=4)
    told = []
    for request, ranked in zip(REQUESTS, rank_by_score(scorer, REQUESTS, (COMMA, END), told.append), strict=True):
        prompt = request.prompt
        expected = [
            np.logaddexp(log_prob(prompt, (*one, COMMA)), log_prob(prompt, (*one, END))) for one in request.candidates
        ]
        np.testing.assert_allclose(ranked.scores, expected, atol=1e-4)
        assert ranked.order.tolist() == np.argsort(-np.array(expected), kind="stable").tolist()
        # Each excludes the others: together they are no more than certain.
        assert np.exp(ranked.scores).sum() < 1
    assert sum(told) == len(REQUESTS)


def test_items_of_one_token_each_need_no_ending(decoder):
    request = Request(REQUESTS[0].prompt, [(7,), (3,), (9,)])
    (ranked,) = rank_by_score(Scorer(*decoder), [request], ())
    np.testing.assert_allclose(ranked.scores, log_probs(request.prompt)[[7, 3, 9]], atol=1e-4)


def test_equal_scores_keep_the_order_of_the_candidates():
    class Alike:
        batch_size = 4

        def score(self, requests):
            return [_Scores(np.zeros(len(request.candidates))) for request in requests]

    (ranked,) = rank_by_score(Alike(), REQUESTS[:1], ())  # type: ignore[arg-type]
    assert ranked.order.tolist() == [0, 1, 2, 3, 4]


class _Scores:
    def __init__(self, total):
        self.total = total


@pytest.mark.parametrize("count", [2, 10])
def test_a_written_list_is_the_greedy_one_among_all_lists_of_the_pool(decoder, count):
    generator = Generator(*decoder, stop_tokens=(END,), batch_size=4)
    for request, ranked in zip(REQUESTS, rank_by_generation(generator, REQUESTS, (COMMA,), count), strict=True):
        assert ranked.order.tolist() == greedy_list(request, count)
        assert len(ranked.order) == min(count, len(request.candidates))
        assert np.isnan(ranked.scores).all()
        assert ranked.answer_tokens >= 2 * len(ranked.order) - 1


def greedy_list(request, count):
    """The same by hand: of the next tokens of all lists that begin so, the likeliest."""
    pool, count = request.candidates, min(count, len(request.candidates))
    lists = [([], ())]
    for _ in range(count):
        lists = [
            ([*items, item], (*text, *((COMMA,) if items else ()), *pool[item]))
            for items, text in lists
            for item in range(len(pool))
            if item not in items
        ]
    said = ()
    while len(lists) > 1:
        # What ends the last item is a comma or the end; either says the same.
        likely = log_probs([*request.prompt, *said])
        nexts = {text[len(said)] if len(text) > len(said) else -1 for _, text in lists}
        value = {token: likely[token] if token >= 0 else max(likely[COMMA], likely[END]) for token in nexts}
        best = max(nexts, key=value.__getitem__)
        lists = [(items, text) for items, text in lists if (text[len(said)] if len(text) > len(said) else -1) == best]
        said = (*said, best)
    return lists[0][0]


def test_behind_what_the_model_has_placed_stands_the_retrievers_order():
    nothing = np.full(6, np.nan)
    assert full_order(Ranked(np.array([4, 1]), nothing, 5)).tolist() == [4, 1, 0, 2, 3, 5]
    assert full_order(Ranked(np.arange(6)[::-1], nothing, 5)).tolist() == [5, 4, 3, 2, 1, 0]
