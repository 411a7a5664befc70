"""Scores of candidates under a shared prompt against one forward pass for each, by hand in NumPy."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.llm import score
from jaxrec.llm.candidate_tree import trees
from jaxrec.llm.config import read_config
from jaxrec.llm.decoder import unstack
from jaxrec.llm.score import Candidates, Scorer
from jaxrec.llm.sharding import place
from jaxrec.llm.weights import read_params
from tests.llm.tiny_llama import CONFIG, logits_by_hand, tensors, write_folder
from tests.models.world import mesh_of

RNG = np.random.default_rng(8)
HELD = tensors()


def draw(length):
    return RNG.integers(0, CONFIG["vocab_size"], length).tolist()


STEM = draw(2)
REQUESTS = [
    Candidates(draw(5), [draw(4), draw(1), [*STEM, 7], STEM, [*STEM, 9, 11], draw(6)]),
    Candidates(draw(11), [draw(3), draw(3)]),
    Candidates(draw(1), [draw(2)]),
    Candidates(draw(40), [[token] for token in range(20)]),
    Candidates(draw(7), [[3], [4]]),
]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    folder = write_folder(tmp_path_factory.mktemp("llama"))
    config = read_config(folder / "config.json", "float32")
    return Scorer(place(read_params(folder, config), config, None), config, batch_size=4)


def by_hand(request):
    totals = []
    for candidate in request.candidates:
        logits = logits_by_hand([*request.prompt, *candidate[:-1]], HELD)[-len(candidate) :]
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        totals.append(log_probs[np.arange(len(candidate)), candidate].sum())
    return np.array(totals)


def check(scores, requests):
    for found, request in zip(scores, requests, strict=True):
        expected = by_hand(request)
        np.testing.assert_allclose(found.total, expected, atol=1e-4)
        np.testing.assert_allclose(found.mean, expected / [len(one) for one in request.candidates], atol=1e-4)


def test_scores_are_those_of_each_candidate_alone(scorer):
    check(scorer.score(REQUESTS), REQUESTS)
    assert scorer.score([]) == []


def test_candidates_in_several_trees_score_the_same(scorer, monkeypatch):
    monkeypatch.setattr(score, "trees", lambda candidates: trees(candidates, max_nodes=4))
    check(scorer.score(REQUESTS), REQUESTS)


def test_layers_one_by_one_and_a_mesh_score_the_same(scorer):
    check(dataclasses.replace(scorer, params=unstack(scorer.params)).score(REQUESTS[:1]), REQUESTS[:1])
    mesh = mesh_of(2, 2)
    params = place(jax.device_get(scorer.params), scorer.config, mesh)
    check(dataclasses.replace(scorer, params=params, mesh=mesh).score(REQUESTS[:3]), REQUESTS[:3])


def test_single_tokens_cost_the_prompt_alone(scorer, monkeypatch):
    fed = []

    def counting(params, config, tokens, lengths, asked, *rest, **settings):
        fed.append((tokens.shape[1], asked.tokens.shape[1]))
        return with_prompt(params, config, tokens, lengths, asked, *rest, **settings)

    with_prompt = score.score_with_prompt
    monkeypatch.setattr(score, "score_with_prompt", counting)
    monkeypatch.setattr(score, "_after_prompt", None)
    check(scorer.score(REQUESTS[3:]), REQUESTS[3:])
    assert sorted(fed) == [(32, 0), (64, 0)]


def test_sizes_within_a_bucket_are_compiled_once(scorer):
    scorer.score([Candidates(draw(4), [draw(5), draw(2)])])
    size = score.score_with_prompt._cache_size()
    scorer.score([Candidates(draw(9), [draw(3), draw(4), draw(3)])])
    assert score.score_with_prompt._cache_size() == size


def test_a_tree_holds_what_candidates_share_once():
    candidates = [[1, 2, 3], [1, 2, 4], [1, 2], [5], [2, 1, 9]]
    (tree,) = trees(candidates)
    assert (tree.tokens, tree.parents, tree.depths) == ([1, 2, 2, 1], [-1, 0, -1, 2], [0, 1, 0, 1])
    assert tree.visible(5).astype(int).tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1],
    ]
    parts = trees(candidates, max_nodes=2)
    assert [part.tokens for part in parts] == [[1, 2], [2, 1]]
    assert [sorted(set(part.asked_by)) for part in parts] == [[0, 1, 2, 3], [4]]
    # A candidate that is too large for any tree has one of its own.
    assert [len(part.tokens) for part in trees([[1, 2, 3, 4], [5, 6]], max_nodes=2)] == [3, 1]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (Candidates([], [[1]]), "prompt: found no tokens"),
        (Candidates([1], []), "candidates: found none"),
        (Candidates([1], [[2], []]), "candidates[1]: found no tokens"),
        (Candidates([1], [[2], [40]]), "candidates[1]: found token 40, allowed: 0 to 39"),
        (Candidates([-1], [[2]]), "prompt: found token -1"),
        (Candidates([1] * 60, [[2], [2] * 5]), "found 65 tokens, allowed: up to 64"),
    ],
)
def test_requests_that_cannot_be_scored(scorer, bad, named):
    with pytest.raises(UserError, match=r"^request 1: ") as caught:
        scorer.score([REQUESTS[0], bad])
    assert named in str(caught.value)
