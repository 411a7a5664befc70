"""Counterfactual attention against loops in NumPy: what is subtracted, what is not there, what order means."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrec.nn.modality_attention import ModalityAttention

ITEMS, TOKENS, DIM = 5, 3, 4
MODULE = ModalityAttention(2)


@functools.partial(jax.jit, static_argnames="average")
def apply(params, *items, average=False):
    return MODULE.apply({"params": params}, *items, average=average)


def norm(rows, layer):
    centred = rows - rows.mean(-1, keepdims=True)
    scaled = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-6)
    return scaled * layer["scale"] + layer["bias"]


def other_scores(params, block, tokens, mask):
    """Scores among one other item's tokens, 0 where one of the two is not there."""
    query, key = (tokens @ params[f"block_{block}_other_{part}"]["kernel"] for part in ("query", "key"))
    return np.where(mask[:, None] & mask[None], query @ key.T / np.sqrt(tokens.shape[-1]), 0)


def attended(params, tokens, mask, subtracted):
    """One item: tokens [T, D], mask [T], subtracted: for each block [T, T]."""
    there = np.flatnonzero(mask)
    rows = tokens[there]
    for block in range(MODULE.num_blocks):
        layers = params[f"block_{block}"]
        query, key, value = (rows @ layers[name]["kernel"] for name in ("self_query", "self_key", "value"))
        scores = query @ key.T / np.sqrt(rows.shape[-1]) - subtracted[block][np.ix_(there, there)]
        weights = np.exp(scores)
        read = (weights / weights.sum(1, keepdims=True)) @ value @ layers["output"]["kernel"]
        rows = norm(rows + read, layers["attention_norm"])
        hidden = np.maximum(rows @ layers["hidden"]["kernel"] + layers["hidden"]["bias"], 0)
        forward = np.maximum(hidden @ layers["feed_forward"]["kernel"] + layers["feed_forward"]["bias"], 0)
        rows = norm(rows + forward, layers["feed_forward_norm"])
    result = np.zeros_like(tokens)
    result[there] = rows
    return result


@functools.cache
def world():
    rng = np.random.default_rng(0)
    tokens, others = rng.normal(size=(2, ITEMS, TOKENS, DIM)).astype(np.float32)
    mask, other_mask = rng.random((2, ITEMS, TOKENS)) < 0.7
    mask[:, 0] = other_mask[:, 0] = True
    mask[0] = True
    params = jax.jit(MODULE.init)(jax.random.key(0), tokens, mask, others, other_mask)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), params)
    return params, tokens, mask, others, other_mask


def test_each_item_loses_what_its_own_other_item_attracts():
    params, tokens, mask, others, other_mask = world()
    assert not mask.all()
    plain = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    expected = [
        attended(plain, *item, [other_scores(plain, block, *other) for block in range(2)])
        for *item, other in zip(tokens, mask, zip(others, other_mask, strict=True), strict=True)
    ]
    actual = apply(params, tokens, mask, others, other_mask)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    without = apply(params, tokens, mask)
    assert np.abs(np.asarray(without - actual)).max() > 1e-2


def test_the_mean_is_over_the_items_that_have_both_tokens():
    params, tokens, mask, others, other_mask = world()
    plain = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    pairs = (other_mask[:, :, None] & other_mask[:, None]).sum(0)
    means = [
        sum(other_scores(plain, block, *other) for other in zip(others, other_mask, strict=True)) / np.maximum(pairs, 1)
        for block in range(2)
    ]
    expected = [attended(plain, *item, means) for item in zip(tokens, mask, strict=True)]
    actual = apply(params, tokens, mask, others, other_mask, average=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_what_is_not_there_is_read_by_nothing_and_has_no_gradient():
    params, tokens, mask, others, other_mask = world()

    def total(tokens, others):
        return jnp.sin(apply(params, tokens, mask, others, other_mask)).sum()

    value, (by_token, by_other) = jax.jit(jax.value_and_grad(total, (0, 1)))(tokens, others)
    assert np.asarray(by_token)[mask].any(-1).all()
    np.testing.assert_array_equal(np.asarray(by_token)[~mask], 0)
    np.testing.assert_array_equal(np.asarray(by_other)[~other_mask], 0)
    elsewhere = np.where(mask[..., None], tokens, 1e6), np.where(other_mask[..., None], others, -1e6)
    np.testing.assert_allclose(total(*elsewhere), value, rtol=1e-6)


def test_tokens_in_another_order_come_out_in_that_order():
    params, tokens, mask, others, other_mask = world()
    order = np.array([2, 0, 1])
    straight = apply(params, tokens, mask, others, other_mask)
    turned = apply(params, *(rows[:, order] for rows in (tokens, mask, others, other_mask)))
    np.testing.assert_allclose(turned, np.asarray(straight)[:, order], rtol=1e-4, atol=1e-5)
