"""Mappings, the lexicon and ratings against published figures and planted truth."""

import numpy as np
import pytest

from jaxrec.data.sample.vocabulary import EMOTIONS, SENTIMENTS
from jaxrec.errors import UserError
from jaxrec.precompute.sentiment.lexicon import compound_scores, read_lexicon
from jaxrec.precompute.sentiment.mapping import GO_EMOTIONS, read_mapping
from jaxrec.precompute.sentiment.ratings import sentiments_of_ratings

WORDS = """smart\t1.7\nhandsome\t2.2\nfunny\t1.9\ngood\t1.9\nhorrible\t-2.5\nkind\t2.4
uncompelling\t-0.9\ngreat\t3.1\nsux\t-1.5\nlol\t1.8\nLOL\t2.9\nbad\t-2.5\n:)\t2.0\n"""

# Sentences and compound scores as the authors of VADER publish them with their program.
PUBLISHED = {
    "VADER is smart, handsome, and funny.": 0.8316,
    "VADER is smart, handsome, and funny!": 0.8439,
    "VADER is very smart, handsome, and funny.": 0.8545,
    "VADER is VERY SMART, handsome, and FUNNY.": 0.9227,
    "VADER is VERY SMART, handsome, and FUNNY!!!": 0.9342,
    "VADER is VERY SMART, uber handsome, and FRIGGIN FUNNY!!!": 0.9469,
    "VADER is not smart, handsome, nor funny.": -0.7424,
    "The book was good.": 0.4404,
    "At least it isn't a horrible book.": 0.4310,
    "The book was only kind of good.": 0.3832,
    "The plot was good, but the characters are uncompelling and the dialog is not great.": -0.7042,
    "Today SUX!": -0.5461,
    "Today only kinda sux! But I'll get by, lol": 0.5249,
    "Not bad at all": 0.4310,
}


@pytest.fixture
def lexicon(tmp_path):
    (tmp_path / "vader_lexicon.txt").write_text(WORDS, encoding="utf-8")
    return read_lexicon(tmp_path)


def test_scores_are_the_published_ones(lexicon):
    np.testing.assert_allclose(compound_scores(lexicon, list(PUBLISHED)), list(PUBLISHED.values()), atol=6e-5)


def test_texts_of_any_kind_have_a_finite_score(lexicon):
    odd = ["", " \n", "!" * 100_000, "good " * 100_000, "\x00\x1b\ud800", "but", "kind of", "not " * 9, "ok :)"]
    scores = compound_scores(lexicon, odd)
    assert np.isfinite(scores).all()
    assert (np.abs(scores) <= 1).all()
    assert scores[0] == scores[2] == 0
    assert scores[3] > 0.999
    assert scores[-1] > 0.4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("good\tnice\n", "line 1"),
        ("good\t1.9\nbad\n", "line 2"),
        ("bad\t-5\n", "-4 to 4"),
        ("a\tnan\n", "-4 to 4"),
        ("", "no words"),
    ],
)
def test_a_damaged_lexicon_is_named(tmp_path, text, said):
    (tmp_path / "vader_lexicon.txt").write_text(text)
    with pytest.raises(UserError, match=said):
        read_lexicon(tmp_path)
    with pytest.raises(UserError, match="not found"):
        read_lexicon(tmp_path / "nowhere")


def test_the_shipped_mappings_differ_in_the_ambiguous_four_alone():
    official, paper = read_mapping("official"), read_mapping("paper")
    differing = {emotion for emotion in GO_EMOTIONS if official.sentiment_of[emotion] != paper.sentiment_of[emotion]}
    assert differing == {"confusion", "curiosity", "realization", "surprise"}
    assert official.sha256 != paper.sha256

    def sizes(mapping):
        counts = np.bincount(mapping.table(GO_EMOTIONS), minlength=5)
        return [int(counts[3:].sum()), int(counts[:2].sum()), int(counts[2])]

    # GoEmotions: 12 positive, 11 negative, 4 ambiguous and neutral. SEALR section 2.1: 12, 15 and 1.
    assert sizes(official) == [12, 11, 5]
    assert sizes(paper) == [12, 15, 1]


def test_the_official_mapping_is_that_of_the_sample():
    mapping = read_mapping("official")
    for emotion in EMOTIONS:
        assert SENTIMENTS[mapping.sentiment_of[emotion.name]] == emotion.sentiment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"positive" = ["joy"]', "no sentiment for admiration"),
        ('"positive" = ["glee"]', "'glee'"),
        ('"so so" = []', "'so so'"),
        ('"positive" = "joy"', "list"),
        ('"positive" = ["joy"]\n"negative" = ["joy"]', "twice"),
        ('"positive = ', "TOML"),
    ],
)
def test_a_mapping_that_does_not_fit_is_named(tmp_path, text, said):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        read_mapping(str(tmp_path / "mine.toml"))
    with pytest.raises(UserError, match="official, paper"):
        read_mapping("offical")


def test_ratings_fall_into_the_nearest_fifth():
    stars = np.array([1, 1.5, 2, 3, 3.4, 4.5, 5, np.nan], np.float32)
    assert sentiments_of_ratings(stars, 1, 5).tolist() == [0, 1, 1, 2, 2, 4, 4, 2]
    assert sentiments_of_ratings(np.array([0, 50, 74, 100], np.float32), 0, 100).tolist() == [0, 2, 3, 4]
    with pytest.raises(UserError, match="rating of 7 outside 1 to 5"):
        sentiments_of_ratings(np.array([3, 7], np.float32), 1, 5)
    with pytest.raises(UserError, match="lower"):
        sentiments_of_ratings(stars, 5, 1)
