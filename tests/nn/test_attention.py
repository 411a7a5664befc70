"""Attention against a plain loop over sequences, and what empty rows, padding and later items may not do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrec.nn.attention import banded_attention, masked_attention, stream_blocks
from jaxrec.nn.dropout import dropout
from jaxrec.nn.transformer import MultiHeadAttention, TransformerEncoder

HEADS, WIDTH = 2, 3


def plain(query, key, value, mask):
    """One query, one head at a time in float64; query, key, value [T, H, dh], mask [Q, K]."""
    output = np.zeros((len(query), HEADS, query.shape[-1]))
    for q in range(len(query)):
        keys = np.flatnonzero(mask[q])
        for head in range(HEADS):
            if len(keys):
                scores = key[keys, head] @ query[q, head] / np.sqrt(query.shape[-1])
                weights = np.exp(scores - scores.max())
                output[q, head] = weights / weights.sum() @ value[keys, head]
    return output


def drawn(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(0, 3), st.integers(0, 1000))
def test_a_stream_equals_its_sequences_one_by_one(lengths, nothing, seed):
    block = 4
    segments = np.concatenate([np.full(nothing, -1), np.repeat(np.arange(len(lengths)), lengths)])
    segments = np.pad(segments, (0, 52 - len(segments)), constant_values=-1).astype(np.int32)
    query, key, value = (drawn(seed + i, 52, HEADS, WIDTH) for i in range(3))
    mask = (segments[:, None] == segments) & (segments[:, None] >= 0) & np.tri(52, dtype=bool)
    actual = jax.jit(banded_attention, static_argnums=4)(query[None], key[None], value[None], segments[None], block)
    np.testing.assert_allclose(actual[0], plain(query, key, value, mask), atol=1e-5)


def test_a_query_without_a_key_gets_zero_and_no_gradient_is_nan():
    query, key, value = (drawn(i, 2, 3, HEADS, WIDTH) for i in range(3))
    mask = jnp.asarray(np.array([[True, False, True], [False, False, False]]))[:, None, :]

    def total(query, key, value):
        return jnp.square(masked_attention(query, key, value, mask)).sum()

    output = masked_attention(jnp.asarray(query), jnp.asarray(key), jnp.asarray(value), mask)
    np.testing.assert_allclose(output[0], plain(query[0], key[0], value[0], np.tile(mask[0], (3, 1))), atol=1e-5)
    np.testing.assert_array_equal(output[1], 0)
    gradients = jax.grad(total, (0, 1, 2))(query, key, value)
    assert all(jnp.isfinite(leaf).all() for leaf in gradients)
    assert not jnp.any(gradients[2][0, 1])  # a hidden value moves nothing


def test_a_block_must_divide_the_row():
    with pytest.raises(ValueError, match="block: found 4, allowed: divisors of the 6"):
        banded_attention(*(jnp.zeros((1, 6, HEADS, WIDTH)),) * 3, jnp.zeros((1, 6), jnp.int32), 4)


@given(st.integers(1, 5000), st.integers(1, 200))
def test_a_row_of_a_stream_holds_its_targets_and_a_sequence_before_them(targets, length):
    blocks, block = stream_blocks(targets, length)
    assert targets + length <= blocks * block < targets + length + blocks
    assert block >= length or blocks == 1


ENCODERS = {
    norm: TransformerEncoder(num_layers=2, num_heads=2, hidden_dim=12, dropout=0.3, norm=norm)
    for norm in ("pre", "post")
}


def started(encoder, width=8):
    x = jnp.zeros((1, 4, width))
    params = encoder.init(jax.random.key(0), x, key_mask=jnp.ones((1, 4), bool))
    return jax.tree.map(lambda leaf: leaf + 0.2 * jnp.resize(drawn(9, 500), leaf.shape), params)


@pytest.mark.parametrize("norm", ENCODERS)
def test_an_encoder_reads_nothing_later_and_nothing_padded(norm):
    encoder = ENCODERS[norm]
    params = started(encoder)
    x = jnp.asarray(drawn(1, 3, 6, 8))
    key_mask = jnp.arange(6)[None, :] >= jnp.array([0, 2, 6])[:, None]
    output = encoder.apply(params, x, key_mask=key_mask)
    assert jnp.isfinite(output).all()  # the last row holds nothing
    later = encoder.apply(params, x.at[:, -1].add(1.0), key_mask=key_mask)
    np.testing.assert_array_equal(output[:, :-1], later[:, :-1])
    assert jnp.any(output[:2, -1] != later[:2, -1])
    padded = encoder.apply(params, jnp.where(key_mask[..., None], x, 7.0), key_mask=key_mask)
    np.testing.assert_allclose(output[1, 2:], padded[1, 2:], atol=1e-6)
    shorter = encoder.apply(params, x[1:2, 2:], key_mask=jnp.ones((1, 4), bool))
    np.testing.assert_allclose(output[1, 2:], shorter[0], atol=1e-5)
    last = encoder.apply(params, x, key_mask=key_mask, only_last=True)
    np.testing.assert_allclose(last[:, 0], output[:, -1], atol=1e-6)


@pytest.mark.parametrize("norm", ENCODERS)
def test_a_stream_through_the_encoder_equals_padded_rows(norm):
    encoder = ENCODERS[norm]
    params = started(encoder)
    x = drawn(2, 3, 5, 8)
    lengths = np.array([5, 2, 4])
    key_mask = np.arange(5) < lengths[:, None]
    expected = encoder.apply(params, jnp.asarray(x), key_mask=jnp.asarray(key_mask))
    segments = np.pad(np.repeat(np.arange(3), lengths), (4, 0), constant_values=-1).astype(np.int32)
    stream = np.concatenate([drawn(3, 4, 8), x[key_mask]])
    actual = encoder.apply(params, jnp.asarray(stream)[None], segment_ids=jnp.asarray(segments)[None], block=5)
    np.testing.assert_allclose(actual[0, 4:], np.asarray(expected)[key_mask], atol=1e-5)


def test_an_encoder_without_causality_reads_both_ways():
    encoder = TransformerEncoder(num_layers=1, num_heads=2, hidden_dim=12, causal=False)
    params = started(encoder)
    x, key_mask = jnp.asarray(drawn(1, 1, 6, 8)), jnp.ones((1, 6), bool)
    before, after = (encoder.apply(params, values, key_mask=key_mask) for values in (x, x.at[:, -1].add(1.0)))
    assert jnp.any(before[:, 0] != after[:, 0])
    with pytest.raises(ValueError, match="causal encoders"):
        encoder.apply(params, x, segment_ids=jnp.zeros((1, 6), jnp.int32), block=6)
    with pytest.raises(ValueError, match="one of the two"):
        encoder.apply(params, x)


def test_cross_attention_reads_the_memory_under_its_mask():
    attention = MultiHeadAttention(num_heads=2)
    queries, memory = jnp.asarray(drawn(1, 2, 3, 8)), jnp.asarray(drawn(2, 2, 4, 5))
    mask = jnp.asarray(np.array([[True, True, False, True], [False] * 4]))[:, None, :]
    params = attention.init(jax.random.key(0), queries, memory, mask=mask)
    output = attention.apply(params, queries, memory, mask=mask)
    assert output.shape == (2, 3, 8)
    hidden = attention.apply(params, queries, memory.at[:, 2].add(5.0), mask=mask)
    np.testing.assert_array_equal(output, hidden)
    np.testing.assert_array_equal(output[1], jnp.broadcast_to(params["params"]["output"]["bias"], (3, 8)))
    with pytest.raises(ValueError, match="num_heads: found 3"):
        MultiHeadAttention(num_heads=3).init(jax.random.key(0), queries, mask=jnp.ones((2, 3, 3), bool))


def test_dropout_keeps_the_mean_and_follows_from_its_key():
    ones = jnp.ones((1001, 77))
    dropped = dropout(jax.random.key(0), ones, 0.3)
    kept = np.asarray(dropped) > 0
    assert abs(kept.mean() - 0.7) < 0.005
    assert abs(float(dropped.mean()) - 1) < 0.01
    np.testing.assert_array_equal(dropped, dropout(jax.random.key(0), ones, 0.3))
    assert jnp.any(dropped != dropout(jax.random.key(1), ones, 0.3))
    np.testing.assert_array_equal(dropout(jax.random.key(0), ones, 0.0), ones)
    # Neither neighbours nor places half a table apart know of each other.
    flat = kept.reshape(-1).astype(float)
    for lag in (1, 77, len(flat) // 2):
        assert abs(np.corrcoef(flat[:-lag], flat[lag:])[0, 1]) < 0.02


def test_dropout_of_an_encoder_is_a_function_of_its_key():
    encoder = ENCODERS["pre"]
    params = started(encoder)
    x, key_mask = jnp.asarray(drawn(1, 2, 6, 8)), jnp.ones((2, 6), bool)

    def run(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return encoder.apply(params, x, key_mask=key_mask, deterministic=False, rngs=rngs)

    np.testing.assert_array_equal(run(0), run(0))
    assert jnp.any(run(0) != run(1))
    assert jnp.any(run(0) != encoder.apply(params, x, key_mask=key_mask))
