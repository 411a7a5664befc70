"""The sample holds the truth it claims, in columns of the right form, and stays what its version says."""

import hashlib

import numpy as np
import pytest

from jaxrec.data.sample import VERSION, make_sample
from jaxrec.data.sample.vocabulary import DEMOGRAPHICS, EMOTIONS, MOTIVATIONS, SENTIMENTS, THEMES


@pytest.fixture(scope="module")
def sample():
    return make_sample(0)


def digest(sample):
    """What of the sample must not change without a new VERSION; vectors are rounded, machines differ in last bits."""
    content = hashlib.sha256()
    for part in (sample.interactions, sample.events, sample.reviews):
        content.update(part.user_ids.tobytes() + part.item_ids.tobytes())
    content.update(sample.events.timestamps.tobytes() + sample.interactions.ratings.tobytes())
    content.update("\n".join(sample.item_text + sample.reviews.text).encode())
    content.update(
        np.round(np.concatenate([sample.image_vectors, sample.text_vectors]) * 100).astype(np.int8).tobytes()
    )
    content.update(np.stack(list(sample.demographics.values())).tobytes())
    return content.hexdigest()


def test_same_seed_same_sample(sample):
    assert digest(make_sample(0)) == digest(sample)
    assert digest(make_sample(1)) != digest(sample)


def test_version_one_stays_what_it_is(sample):
    """Results name the sample by its version: change the generator and VERSION together, then these lines."""
    pairs = np.stack([sample.interactions.user_ids, sample.interactions.item_ids]).astype("<i4")
    words = "\n".join(sample.item_text + sample.reviews.text)
    assert VERSION == 1
    assert len(sample.interactions) == 22367
    assert hashlib.sha256(pairs.tobytes()).hexdigest()[:16] == "671097a8979657d1"
    assert hashlib.sha256(words.encode()).hexdigest()[:16] == "21c65831790915b4"


def test_columns_have_the_contract_of_interactions(sample):
    for part in (sample.interactions, sample.events):
        assert part.user_ids.dtype == part.item_ids.dtype == np.int32
        assert part.timestamps.dtype == np.int64
        assert (np.diff(part.timestamps) >= 0).all()
        assert part.user_ids.max() < len(part.users)
        assert part.item_ids.max() < len(part.items)
    assert sample.interactions.users.raw[7] == "user_0007"
    assert sample.interactions.items.raw[123] == "item_0123"
    assert sample.interactions.ratings.dtype == np.float32
    assert set(np.unique(sample.interactions.ratings)) <= {1, 2, 3, 4, 5}
    assert sample.events.behavior_names == ("click", "favor")
    assert sample.events.behaviors.dtype == np.int8
    assert len(sample.item_text) == 600
    assert len({text.split(".")[0] for text in sample.item_text}) == 600
    for vectors in (sample.image_vectors, sample.text_vectors):
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_favors_are_the_favor_events(sample):
    favored = sample.events.behaviors == 1
    np.testing.assert_array_equal(sample.events.user_ids[favored], sample.interactions.user_ids)
    np.testing.assert_array_equal(sample.events.item_ids[favored], sample.interactions.item_ids)
    np.testing.assert_array_equal(sample.events.timestamps[favored], sample.interactions.timestamps)


def test_every_favor_follows_a_click_of_its_own(sample):
    events = sample.events
    keys = events.user_ids.astype(np.int64) * 600 + events.item_ids
    clicked = events.behaviors == 0
    first_click = dict(zip(keys[clicked][::-1].tolist(), events.timestamps[clicked][::-1].tolist(), strict=True))
    for key, when in zip(keys[~clicked].tolist(), events.timestamps[~clicked].tolist(), strict=True):
        assert first_click[key] < when


def test_motivations_are_one_to_three_and_one_to_two(sample):
    for weights, allowed in (
        (sample.truth.user_motivations, {1, 2, 3}),
        (sample.truth.item_motivations, {1, 2}),
    ):
        assert weights.shape[1] == len(MOTIVATIONS) == 10
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        assert set(np.count_nonzero(weights, axis=1)) == allowed


def test_accidental_clicks_are_clicks_that_follow_no_motivation(sample):
    accidental, events = sample.truth.accidental_clicks, sample.events
    clicked = events.behaviors == 0
    assert not accidental[~clicked].any()
    assert 0.15 < accidental[clicked].mean() < 0.25
    liking = sample.truth.taste.affinity()
    liked = liking[events.user_ids, events.item_ids]
    # No better than any item at all; clicks of interest are far above.
    assert abs(liked[accidental].mean() - liking.mean()) < 0.05 * liking.std()
    assert liked[clicked & ~accidental].mean() > liking.mean() + liking.std()


def test_what_comes_next_follows_from_what_came_last(sample):
    order = np.lexsort((sample.interactions.timestamps, sample.interactions.user_ids))
    users, reasons = sample.interactions.user_ids[order], sample.truth.favor_reasons[order]
    same_user = users[1:] == users[:-1]
    together = (reasons[1:] == reasons[:-1])[same_user].mean()
    shuffled = np.lexsort((np.random.default_rng(0).random(len(users)), users))
    apart = (reasons[shuffled][1:] == reasons[shuffled][:-1])[same_user].mean()
    assert together > 1.25 * apart


def test_reviews_show_emotion_and_motivation_in_words(sample):
    reviews, interactions = sample.reviews, sample.interactions
    np.testing.assert_array_equal(interactions.user_ids[reviews.rows], reviews.user_ids)
    np.testing.assert_array_equal(interactions.item_ids[reviews.rows], reviews.item_ids)
    np.testing.assert_array_equal(interactions.ratings[reviews.rows], reviews.rating)
    assert 0.5 < len(reviews.text) / len(interactions) < 0.7
    assert len(reviews.text) == len(reviews.emotion) == len(sample.truth.review_emotions)
    reasons = sample.truth.favor_reasons[reviews.rows]
    for text, emotion, reason in zip(reviews.text, reviews.emotion, reasons, strict=True):
        motivation = MOTIVATIONS[reason]
        assert text.startswith(EMOTIONS[emotion].openings)
        grounds = (*motivation.praises, *motivation.complaints)
        assert any(text.lower().endswith(f"{ground.lower()}.") for ground in grounds)
    sentiment = np.array([SENTIMENTS.index(emotion.sentiment) for emotion in EMOTIONS])[reviews.emotion]
    assert set(sentiment) == set(range(5))
    assert 0.6 < np.corrcoef(sentiment, reviews.rating)[0, 1] < 0.95


def test_ratings_tell_how_well_the_item_suits(sample):
    liked = sample.truth.taste.affinity()[sample.interactions.user_ids, sample.interactions.item_ids]
    assert np.corrcoef(liked, sample.interactions.ratings)[0, 1] > 0.5


def test_item_texts_name_their_motivations(sample):
    named = np.array(
        [[any(p.lower() in text.lower() for p in m.promises) for m in MOTIVATIONS] for text in sample.item_text]
    )
    planted = sample.truth.item_motivations > 0
    assert named[planted].all()
    # Store pages promise more than they hold, but not much.
    assert 0.01 < named[~planted].mean() < 0.06


def test_vectors_carry_the_motivations_and_text_more_than_images(sample):
    truth = sample.truth.item_motivations
    main = truth.argmax(axis=1)
    fit, held = np.arange(300), np.arange(300, 600)

    def accuracy(vectors):
        weights = np.linalg.lstsq(vectors[fit], truth[fit], rcond=None)[0]
        return ((vectors[held] @ weights).argmax(axis=1) == main[held]).mean()

    assert accuracy(sample.text_vectors) > 0.6
    assert 0.3 < accuracy(sample.image_vectors) < accuracy(sample.text_vectors)


def test_demographics_lean_with_the_motivations(sample):
    assert set(sample.demographics) == {"gender", "age_group", "occupation", "region"}
    single = sample.truth.user_motivations.max(axis=1) > 0.99
    main = sample.truth.user_motivations.argmax(axis=1)[single]
    for trait, column in sample.demographics.items():
        width = len(DEMOGRAPHICS[trait])
        assert column.dtype == np.int8
        assert column.min() >= 0
        assert column.max() < width
        table = np.zeros((len(MOTIVATIONS), width))
        np.add.at(table, (main, column[single]), 1)
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        chi_square = ((table - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
        # Independent traits would give about (rows - 1)(columns - 1).
        assert chi_square > 2 * (len(MOTIVATIONS) - 1) * (width - 1)


def test_words_are_told_apart():
    phrases = [phrase for m in MOTIVATIONS for phrase in (*m.promises, *m.praises, *m.complaints)]
    phrases += [phrase for theme in THEMES for phrase in theme.phrases]
    phrases += [opening for emotion in EMOTIONS for opening in emotion.openings]
    assert len(set(phrases)) == len(phrases)
