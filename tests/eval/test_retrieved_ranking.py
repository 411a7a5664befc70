"""retrieved: pools against a plain loop, a missed target, chance in closed form, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.eval.artifacts import save_arrays
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.metrics import BEYOND, all_metrics
from jaxrec.eval.pools import RANKINGS, pools_sha256, read_pools, read_ranked, write_pools
from jaxrec.eval.references import expected_of_each, random_reference
from jaxrec.eval.retrieved_ranking import RetrievedRanking
from jaxrec.models.base import Context
from tests.eval.given import GivenScores, GivenVectors, build_dataset, random_params
from tests.eval.left_out import left_out_dataset, random_pools

KS = (1, 5, 10)


@pytest.fixture
def dataset(rng):
    return left_out_dataset(rng)


def ranking(folder, dataset, pools, part="test", ks=KS):
    write_pools(folder, pools, dataset)
    return RetrievedRanking(dataset, part, EvalConfig(k=ks, protocols=("retrieved",), pools=str(folder)))


@pytest.mark.parametrize("model", [GivenVectors(), GivenScores()])
@pytest.mark.parametrize("levels", [None, 1])
def test_equals_a_plain_loop(tmp_path, rng, dataset, model, levels):
    pools, params = random_pools(rng, dataset, 12, shortest=6), random_params(rng, dataset, 2, levels=levels)
    found = ranking(tmp_path, dataset, pools).evaluate(model, params, Context())
    scores = np.einsum("ukd,id->uki", params["user"], params["item"]).max(1) + np.asarray(params["bias"])
    assert found.user_ids.tolist() == list(range(1, 40, 2))
    reached = 0
    for row, user in enumerate(found.user_ids):
        pool, target = [item for item in pools.item_ids[user] if item >= 0], pools.target_ids[user]
        rank = BEYOND
        if target in pool:
            reached += 1
            rank = 1 + sum(scores[user, item] >= scores[user, target] for item in pool if item != target)
        for k in KS:
            assert found.per_user[f"hit@{k}"][row] == (rank <= k)
            assert found.per_user[f"ndcg@{k}"][row] == pytest.approx((rank <= k) / np.log2(rank + 1.0))
    assert 0 < reached < found.num_users
    assert found.metrics["hit@10"] <= reached / found.num_users


def test_chance_is_what_shuffled_pools_give(tmp_path, rng, dataset):
    pools = random_pools(rng, dataset, 12, shortest=6)
    made = ranking(tmp_path, dataset, pools)
    rows, draws = pools.take(pools.evaluation), 4_000
    sizes, reached = (rows.item_ids >= 0).sum(axis=1), rows.in_pool
    ranks = np.where(reached, np.floor(rng.random((draws, len(sizes))) * sizes) + 1, BEYOND).astype(np.int64)
    simulated = all_metrics(ranks.reshape(-1, 1), np.ones(ranks.size, np.int32), KS)
    expected = random_reference(made)
    for name, values in simulated.items():
        error = 4.5 * values.std() / np.sqrt(values.size) + 1e-9
        assert expected[name] == pytest.approx(values.mean(), abs=error), name
    assert expected["hit@5"] == pytest.approx(np.mean(reached * np.minimum(5 / sizes, 1)))
    each = expected_of_each(made.num_candidates, made.num_targets, KS)
    assert {name: values.mean() for name, values in each.items()} == pytest.approx(expected)
    assert (each["hit@5"] > 0).tolist() == reached.tolist()


@pytest.mark.parametrize("size", [20, 50])
def test_chance_with_the_target_injected_is_ten_of_all(tmp_path, rng, size):
    """MODELS of the paper: hit@10 = 10/C and ndcg@10 = 4.5436/C, whatever the data."""
    dataset = left_out_dataset(rng, num_items=80)
    expected = random_reference(ranking(tmp_path, dataset, random_pools(rng, dataset, size, found=1)))
    assert expected["hit@10"] == pytest.approx(10 / size)
    assert expected["hit@5"] == pytest.approx(5 / size)
    assert expected["ndcg@10"] == pytest.approx(4.5436 / size, abs=1e-5)


def test_the_retrievers_order_is_ranked_as_its_scores_would_be(tmp_path, rng, dataset):
    pools = random_pools(rng, dataset, 12)

    class InOrder:
        def encode(self, params, ctx):
            return params

        def score(self, encoded, batch, item_ids):
            return -(encoded[batch["user_ids"]][:, None, :] == item_ids[:, :, None]).argmax(axis=2).astype(np.float32)

        def score_floats(self, encoded):
            return 1

    made = ranking(tmp_path, dataset, pools)
    own, scored = made.retriever_reference(), made.evaluate(InOrder(), pools.item_ids, Context())
    assert own.metrics == scored.metrics
    assert 0 < own.metrics["ndcg@10"] < 1


def test_a_constant_scorer_and_one_without_scores_find_nothing(tmp_path, rng, dataset):
    made = ranking(tmp_path, dataset, random_pools(rng, dataset, 12, found=1))
    params = random_params(rng, dataset)
    for bias in (0.0, np.nan, -np.inf):
        same = {name: np.zeros_like(value) for name, value in params.items()}
        same["bias"] = same["bias"] + np.float32(bias)
        assert made.evaluate(GivenVectors(), same, Context()).metrics["hit@10"] == 0


def test_pools_come_back_as_they_were_and_say_who_is_ranked(tmp_path, rng, dataset):
    pools = random_pools(rng, dataset, 8, shortest=3)
    write_pools(tmp_path, pools.take(rng.permutation(40)), dataset)
    found = read_pools(tmp_path, dataset)
    for field in dataclasses.fields(pools):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(pools, field.name))
    assert found.sha256 == pools.sha256
    valid, test = read_ranked(str(tmp_path), dataset)
    assert (valid.user_ids % 2).tolist() == [0] * 20
    assert test.user_ids.tolist() == list(range(1, 40, 2))
    with pytest.raises(UserError, match="1 of 1 users have none"):
        test.of_users(np.asarray([2]))


def test_a_ranking_says_whom_it_ranked_and_the_hash_follows(tmp_path, rng, dataset):
    folders = tmp_path / "candidates-1", tmp_path / "ranking-1"
    for folder in folders:
        folder.mkdir()
    write_pools(folders[0], random_pools(rng, dataset, 8), dataset)
    users, parts = np.asarray(["u9", "u4", "u7"]), np.asarray(["test", "valid", "test"])
    np.savez(folders[1] / RANKINGS, user_ids=users, part=parts)
    with pytest.raises(UserError, match=r"manifest\.json: does not name the folder of its candidates"):
        read_ranked(str(folders[1]), dataset)
    (folders[1] / "manifest.json").write_text(json.dumps({"needs": {"candidates": "candidates-1"}}))
    valid, test = read_ranked(str(folders[1]), dataset)
    assert (valid.user_ids.tolist(), test.user_ids.tolist()) == ([4], [7, 9])
    hashes = [pools_sha256(str(folder), dataset) for folder in folders]
    assert len({*hashes, pools_sha256(None, dataset)}) == 3


def test_the_retrievers_run_stands_beside_for_the_same_users(tmp_path, rng, dataset):
    made = ranking(tmp_path, dataset, random_pools(rng, dataset, 12))
    assert made.retriever_in_full() is None
    hits = np.arange(40) / 40
    columns = {"test/user_ids": dataset.users.decode(np.arange(40)), "test/hit@10": hits}
    save_arrays(tmp_path / "per_user.npz", columns)
    assert made.retriever_in_full() == pytest.approx({"hit@10": hits[1::2].mean()})
    save_arrays(tmp_path / "per_user.npz", {name: column[:5] for name, column in columns.items()})
    assert made.retriever_in_full() is None


def test_what_is_refused(tmp_path, rng, dataset):
    pools = random_pools(rng, dataset, 8)
    with pytest.raises(UserError, match=r"eval\.pools: found none, allowed with eval\.protocols retrieved"):
        RetrievedRanking(dataset, "test", EvalConfig(k=KS))
    with pytest.raises(UserError, match=r"eval\.pools: .*: found neither candidates\.npz nor ranking\.npz"):
        RetrievedRanking(dataset, "test", EvalConfig(k=KS, pools=str(tmp_path)))
    with pytest.raises(UserError, match=r"eval\.k: 10 is larger than the 8 candidates of eval\.pools"):
        ranking(tmp_path, dataset, pools)
    with pytest.raises(UserError, match=r"has no user of the valid part"):
        ranking(tmp_path, dataset, dataclasses.replace(pools, evaluation=np.ones(40, bool)), "valid", (5,))
    smaller = build_dataset(3, 60, ([(0, 1)], [], [(0, 2)]))
    with pytest.raises(UserError, match=r"candidates\.npz: user 'u3' is not in data set tiny; made from another"):
        read_pools(tmp_path, smaller)
    other = dataclasses.replace(dataset, test=dataset.valid)
    with pytest.raises(UserError, match=r"its targets are not the test items of tiny; made from another split"):
        read_pools(tmp_path, other)
    (tmp_path / "candidates.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"candidates\.npz: not a whole npz file"):
        read_pools(tmp_path, dataset)
    np.savez(tmp_path / "candidates.npz", user_ids=np.asarray(["u1"]))
    with pytest.raises(UserError, match=r"candidates\.npz: target_ids is missing"):
        read_pools(tmp_path, dataset)
