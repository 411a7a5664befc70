"""What can be learned from the sample: the truth ranks best, the graph beats popularity, text adds to the graph."""

import numpy as np
import pytest

from jaxrec.data.sample import make_sample

DISCOUNT = 1 / np.log2(np.arange(2, 12))


@pytest.fixture(scope="module")
def sample():
    return make_sample(0)


class Split:
    """A random 3:1:1 split of each user's favors as dense masks, and NDCG@10 over the unseen items."""

    def __init__(self, sample):
        users, items = sample.interactions.user_ids, sample.interactions.item_ids
        order = np.lexsort((np.random.default_rng(7).random(len(users)), users))
        users, items = users[order], items[order]
        count = np.bincount(users)
        share = (np.arange(len(users)) - np.repeat(np.cumsum(count) - count, count)) / np.repeat(count, count)
        self.train, self.valid, self.test = (
            self._dense(sample, users[rows], items[rows])
            for rows in (share < 0.6, (share >= 0.6) & (share < 0.8), share >= 0.8)
        )
        self.degree = self.train.sum(axis=0)

    @staticmethod
    def _dense(sample, users, items):
        dense = np.zeros((len(sample.interactions.users), len(sample.interactions.items)), bool)
        dense[users, items] = True
        return dense

    def ndcg(self, scores, only_items=None):
        target = self.test if only_items is None else self.test & only_items
        allowed = ~(self.train | self.valid) if only_items is None else ~(self.train | self.valid) & only_items
        top = np.argsort(-np.where(allowed, scores, -np.inf), axis=1, kind="stable")[:, :10]
        gain = (np.take_along_axis(target, top, 1) * DISCOUNT).sum(axis=1)
        count = target.sum(axis=1)
        asked = count > 0
        return (gain[asked] / np.cumsum(DISCOUNT)[np.minimum(count[asked], 10) - 1]).mean()

    def svd_scores(self, rank=16):
        """Truncated SVD of the normalised matrix: the linear relative of LightGCN."""
        user_norm = 1 / np.sqrt(np.maximum(self.train.sum(axis=1, keepdims=True), 1))
        item_norm = 1 / np.sqrt(np.maximum(self.degree, 1))
        left, singular, right = np.linalg.svd(self.train * user_norm * item_norm, full_matrices=False)
        return (left[:, :rank] * singular[:rank]) @ right[:rank] / np.sqrt(item_norm)

    def text_scores(self, texts):
        """Similarity of each item's words to those of the user's training items."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        words = TfidfVectorizer(min_df=2, sublinear_tf=True).fit_transform(texts).toarray()
        users = self.train @ words
        return users / np.linalg.norm(users, axis=1, keepdims=True) @ words.T


@pytest.fixture(scope="module")
def split(sample):
    return Split(sample)


def standard(scores):
    return (scores - scores.mean()) / scores.std()


def test_sizes_and_a_long_tail(sample, split):
    interactions = sample.interactions
    pairs = interactions.user_ids.astype(np.int64) * 600 + interactions.item_ids
    assert len(np.unique(pairs)) == len(pairs)
    count = np.bincount(interactions.user_ids, minlength=1000)
    assert len(count) == 1000
    assert count.min() >= 8
    assert 20 <= count.mean() <= 25
    # Moderate skew: a third of the items is cold-ish in training, the busiest tenth takes less than a third of all.
    assert 0.25 < ((split.degree >= 5) & (split.degree <= 15)).mean() < 0.5
    assert (split.degree < 5).mean() < 0.08
    assert 0.15 < np.sort(split.degree)[-60:].sum() / split.degree.sum() < 0.35


@pytest.mark.parametrize("seed", [0, 3])
def test_collaborative_filtering_beats_popularity_and_the_truth_beats_both(seed):
    sample = make_sample(seed)
    split = Split(sample)
    popularity = split.ndcg(np.broadcast_to(split.degree, split.train.shape))
    chance = split.ndcg(np.random.default_rng(0).random(split.train.shape))
    filtering = split.ndcg(split.svd_scores())
    oracle = split.ndcg(sample.truth.scores())
    assert popularity > 2 * chance
    assert filtering > 1.7 * popularity
    assert oracle > 1.8 * filtering


def test_text_adds_to_the_graph_most_where_items_are_rare(sample, split):
    filtering, text = split.svd_scores(), split.text_scores(sample.item_text)
    both = standard(filtering) + standard(text)
    assert split.ndcg(both) > 1.07 * split.ndcg(filtering)
    # Nor does text alone say what the graph says.
    assert split.ndcg(both) > 1.2 * split.ndcg(text)
    rare = split.degree <= 15
    gain = [split.ndcg(both, items) / split.ndcg(filtering, items) for items in (rare, ~rare)]
    assert gain[0] > 1.25
    assert gain[0] > gain[1] + 0.1
