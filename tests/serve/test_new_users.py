"""Users who are not in the data: a history counts as much as the same one of a known user, and no more is known."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrec.data.interactions import IdMap
from jaxrec.errors import UserError
from jaxrec.models.m3bsr import DenoisingConfig
from jaxrec.models.registry import build_model
from jaxrec.serve.given_histories import read_histories, split_ratings
from jaxrec.serve.new_users import new_users
from jaxrec.serve.recommender import Recommender
from tests.eval.given import build_dataset
from tests.models.world import MAX_LENGTH, NUM_ITEMS, NUM_USERS, SMALL, context, interactions

USER = 4
"""Has events of both behaviours."""


@pytest.fixture(scope="module", autouse=True)
def _programs_that_run_for_moments():
    """No time is spent on making fast what runs for moments."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@functools.cache
def initial(config):
    return jax.jit(build_model(config, NUM_USERS, NUM_ITEMS).init)(jax.random.key(0), context())[0]


def started(name, **changes):
    """Model, parameters and context of the small world; nothing is known of anybody's profile."""
    ctx = context()
    unknown = {
        field: {key: jnp.zeros_like(rows) for key, rows in getattr(ctx, field).items()}
        for field in ("user_fields", "user_numbers", "user_number_masks")
    }
    ctx = dataclasses.replace(ctx, **unknown)
    config = dataclasses.replace(SMALL[name], **changes)
    return build_model(config, NUM_USERS, NUM_ITEMS), initial(config), ctx


def recommender_of(name, behaviors=(), **changes):
    model, params, ctx = started(name, **changes)
    pairs = np.stack(interactions(), axis=1).tolist()
    dataset = build_dataset(NUM_USERS, NUM_ITEMS, (pairs, [], []))
    if behaviors:
        events = dataclasses.replace(dataset.valid, behavior_names=behaviors)
        dataset = dataclasses.replace(dataset, auxiliary=events)
    else:
        ctx = dataclasses.replace(ctx, histories=ctx.histories[-1:])
    return Recommender(dataset, model, params, ctx), ctx


def raw(row):
    return [f"i{token - 1}" for token in np.asarray(row).tolist() if token]


def assert_same(found, expected):
    assert [item for item, _ in found] == [item for item, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sasrec", "comirec", "uim"])
def test_a_new_user_with_the_history_of_a_known_one_gets_their_list(name):
    recommender, ctx = recommender_of(name)
    histories = [{"": raw(ctx.histories[-1][user])} for user in (USER, 5)]
    of_new = recommender.with_histories(histories)
    known = recommender.recommend([f"u{USER}", "u5"], NUM_ITEMS, exclude_seen=False)
    for found, expected in zip(
        of_new.recommend(["new user 1", "new user 2"], NUM_ITEMS, exclude_seen=False), known, strict=True
    ):
        assert_same(found, expected)
    assert known[0] != known[1]
    assert any("profile" in note for note in of_new.notes)


def test_behaviors_are_told_apart_and_nobody_has_a_vector_of_their_own():
    names = ("click", "favor")
    short = {"modality": DenoisingConfig(num_steps=2), "behavior": DenoisingConfig(num_steps=2)}
    recommender, ctx = recommender_of("m3bsr", names, user_field="none", **short)
    history = {"click": raw(ctx.histories[0][USER]), "": raw(ctx.histories[1][USER])}
    found = recommender.with_histories([history]).recommend(["new user 1"], NUM_ITEMS, exclude_seen=False)[0]
    assert_same(found, recommender.recommend([f"u{USER}"], NUM_ITEMS, exclude_seen=False)[0])
    model, params, ctx = started("m3bsr")
    given = new_users(recommender.dataset, model, params, ctx, [history, history])
    assert "mean of all" in given.notes[0]
    (table,) = [leaf for path, leaf in jax.tree.leaves_with_path(params) if path[-1].key == "user_embedding"]
    (mean,) = [leaf for path, leaf in jax.tree.leaves_with_path(given.params) if path[-1].key == "user_embedding"]
    np.testing.assert_allclose(mean, np.stack([np.asarray(table).mean(0)] * 2), rtol=1e-6)
    assert given.model.num_users == 2


def test_what_the_new_user_did_is_left_out_however_long_ago():
    recommender, _ = recommender_of("sasrec")
    long_history = [f"i{item}" for item in range(MAX_LENGTH + 3)]
    of_new = recommender.with_histories([{"": long_history}])
    listed = {item for item, _ in of_new.recommend(["new user 1"], NUM_ITEMS)[0]}
    assert listed == {f"i{item}" for item in range(MAX_LENGTH + 3, NUM_ITEMS)}
    latest = recommender.with_histories([{"": long_history[-MAX_LENGTH:]}])
    assert_same(
        of_new.recommend(["new user 1"], 5, exclude_seen=False)[0],
        latest.recommend(["new user 1"], 5, exclude_seen=False)[0],
    )


def test_mistakes_are_named():
    recommender, _ = recommender_of("sasrec")
    with pytest.raises(UserError, match=r"found no item"):
        recommender.with_histories([{"": []}])
    with pytest.raises(UserError, match=r"item 'i99' is not among.*nearest"):
        recommender.with_histories([{"": ["i1", "i99"]}])
    with pytest.raises(UserError, match=r"found behaviour 'click', allowed: item ids without"):
        recommender.with_histories([{"click": ["i1"]}])
    model, params, ctx = started("bprmf")
    by_ids = Recommender(recommender.dataset, model, params, dataclasses.replace(ctx, histories=None))
    with pytest.raises(UserError, match=r"run of model bprmf, .*\(sasrec, m3bsr, comirec, uim\)"):
        by_ids.with_histories([{"": ["i1"]}])


@pytest.mark.parametrize("name", ["comirec", "uim"])
def test_reasons_are_shares_of_the_interest_that_scores_the_item_best(name):
    recommender, ctx = recommender_of(name)
    users = [f"u{USER}", f"u{NUM_USERS - 1}"]  # the last has no history
    lists = recommender.recommend(users, 4)
    reasons = recommender.reasons(users, lists)
    held = set(raw(ctx.histories[-1][USER]))
    for because in reasons[0]:
        shares = [share for _, share in because]
        assert {item for item, _ in because} <= held
        assert shares == sorted(shares, reverse=True)
        assert len(held) > 3 or sum(shares) == pytest.approx(1, abs=1e-5)
    assert reasons[1] == [[]] * 4
    assert recommender_of("sasrec")[0].reasons(users, lists) is None


def test_a_history_of_one_item_is_the_whole_reason():
    recommender, _ = recommender_of("uim")
    of_new = recommender.with_histories([{"": ["i3"]}])
    lists = of_new.recommend(["new user 1"], 2)
    assert of_new.reasons(["new user 1"], lists) == [[[("i3", pytest.approx(1.0))]] * 2]


def test_histories_are_read_from_the_command_line():
    assert read_histories(["a, b", '"x,y",z'], ()) == [{"": ["a", "b"]}, {"": ["x,y", "z"]}]
    assert read_histories(["click=a"], ()) == [{"": ["click=a"]}]
    assert read_histories(["click=a,b", "c"], ("click", "favor")) == [{"click": ["a", "b"], "": ["c"]}]
    assert read_histories([""], ()) == [{"": []}]
    with pytest.raises(UserError, match="found click twice"):
        read_histories(["click=a", "click=b"], ("click", "favor"))


def test_ratings_stand_behind_the_last_colon_of_what_is_no_id():
    items = IdMap(np.asarray(["a", "a:5", "b"]))
    ids, ratings = split_ratings(["a", "a:5", "a:4", "a:5:1.5", "b:x", "b:nan", "c:2"], items)
    assert ids == ["a", "a:5", "a", "a:5", "b:x", "b:nan", "c"]
    np.testing.assert_array_equal(ratings, [np.nan, np.nan, 4.0, 1.5, np.nan, np.nan, 2.0])
