"""Review texts from the source to the features: each stays with its row, and only training ones are read."""

import numpy as np
import pytest

from jaxrec.config.checks import validate
from jaxrec.config.experiment import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.export import export
from jaxrec.data.prepared import load_dataset
from jaxrec.data.reviews import training_documents, training_reviews
from jaxrec.data.text import load_text
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_features import with_own_texts
from jaxrec.errors import UserError
from jaxrec.models.popularity import PopularityConfig
from tests.data.tiny_bert import write_encoder

PARTS = ("train", "valid", "test")
WORDS = ("warm", "soft", "light", "seat", "glass")


def text_of(user, item, time):
    return f"{user} of {item} at {time}"


@pytest.fixture
def source(tmp_path):
    """Rated, timed and mostly reviewed rows with repeats; each text names its row."""
    rng = np.random.default_rng(0)
    rows = ["user,item,rating,timestamp,review"]
    for time in range(400):
        user, item = f"u{rng.integers(20)}", f"i{rng.integers(15)}"
        review = text_of(user, item, time) if rng.random() < 0.7 else ""
        rows.append(f"{user},{item},{rng.integers(1, 6)},{time},{review}")
    path = tmp_path / "events.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def config(path, tmp_path, **settings):
    return DataConfig(path=str(path), cache=str(tmp_path / "cache"), reviews=True, **settings)


def said(part, reviews):
    """(text, what the text of this row would be) of each row with a review."""
    users, items = part.users.decode(part.user_ids), part.items.decode(part.item_ids)
    rows = np.flatnonzero(part.reviews >= 0)
    return [(reviews[part.reviews[n]], text_of(users[n], items[n], part.timestamps[n])) for n in rows]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"filter": FilterConfig(duplicates="last", min_rating=2, user_core=4, item_core=4)},
        {"filter": FilterConfig(duplicates="keep", start_time=50), "split": "global_temporal"},
        {"split": "leave_one_out"},
        {"noise": 0.3},
    ],
)
def test_each_text_stays_with_its_row(source, tmp_path, settings):
    fresh = load_dataset(config(source, tmp_path, **settings))
    events = []
    kept = load_dataset(config(source, tmp_path, **settings), events.append)
    assert "using prepared data" in events[0]
    assert isinstance(kept.reviews.data, np.memmap)
    for data in (fresh, kept):
        pairs = [pair for name in PARTS for pair in said(getattr(data, name), data.reviews)]
        assert all(found == wanted for found, wanted in pairs)
        # Every text of the table belongs to one row: those of dropped rows are gone.
        assert len({found for found, _ in pairs}) == len(data.reviews) == data.provenance["statistics"]["reviews"]
    if "noise" in settings:
        added = fresh.provenance["noise"]["interactions"]
        assert added > 0
        assert (fresh.train.reviews[-added:] == -1).all()


def test_a_damaged_table_is_read_anew(source, tmp_path):
    first = load_dataset(config(source, tmp_path))
    (path,) = (tmp_path / "cache").glob("*/reviews.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    events = []
    second = load_dataset(config(source, tmp_path), events.append)
    assert "damaged" in events[0]
    assert second.reviews.data.tobytes() == first.reviews.data.tobytes()


def test_reviews_are_another_dataset_and_their_column_matters_only_then(source, tmp_path):
    import dataclasses

    base = config(source, tmp_path)
    with_reviews, without = load_dataset(base), load_dataset(dataclasses.replace(base, reviews=False))
    assert with_reviews.sha256 != without.sha256
    assert without.reviews is None
    assert without.train.reviews is None
    renamed = dataclasses.replace(base, reviews=False, columns=dataclasses.replace(base.columns, review="x"))
    assert load_dataset(renamed).sha256 == without.sha256


def test_exported_parts_hold_the_texts(source, tmp_path):
    data = load_dataset(config(source, tmp_path))
    export(data, tmp_path / "out")
    again = load_dataset(config(tmp_path / "out", tmp_path, split="given"))
    for name in PARTS:
        assert sorted(said(getattr(again, name), again.reviews)) == sorted(said(getattr(data, name), data.reviews))


# Reviews of the training part


def test_training_reviews_by_user_and_item(source, tmp_path):
    data = load_dataset(config(source, tmp_path))
    own = {text for text, _ in said(data.train, data.reviews)}
    for side, ids in (("user", data.users), ("item", data.items)):
        indptr, rows = training_reviews(data, side)
        assert {data.reviews[row] for row in rows} == own
        for number, raw in enumerate(ids.raw.tolist()):
            for row in rows[indptr[number] : indptr[number + 1]]:
                assert raw in data.reviews[row].split(" ")
        few_indptr, few = training_reviews(data, side, 2)
        np.testing.assert_array_equal(np.diff(few_indptr), np.minimum(np.diff(indptr), 2))
        for number in range(len(ids)):
            np.testing.assert_array_equal(
                few[few_indptr[number] : few_indptr[number + 1]], rows[indptr[number] : indptr[number + 1]][:2]
            )


def test_choice_does_not_depend_on_the_order_of_rows(source, tmp_path):
    lines = source.read_text().splitlines()
    turned = tmp_path / "turned.csv"
    turned.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    one, other = (load_dataset(config(path, tmp_path)) for path in (source, turned))
    assert training_documents(one, "item", 3, 1000) == training_documents(other, "item", 3, 1000)


def test_documents_are_cut(source, tmp_path):
    data = load_dataset(config(source, tmp_path))
    whole, cut = training_documents(data, "item", 1, 1000), training_documents(data, "item", 1, 4)
    assert any(whole)
    assert cut == tuple(text[:4] for text in whole)


# Text features


TELL_TALE = "abracadabra"


def plant(source, tmp_path, data):
    """The same rows, with a tell-tale word in every review that is not of the training part."""
    held_out = {text for name in ("valid", "test") for text, _ in said(getattr(data, name), data.reviews)}
    lines = []
    for line in source.read_text().splitlines():
        head, _, review = line.rpartition(",")
        lines.append(f"{head},{review} {TELL_TALE}" if review in held_out else line)
    path = tmp_path / "planted.csv"
    path.write_text("\n".join(lines) + "\n")
    return load_dataset(config(path, tmp_path))


def test_reviews_of_valid_and_test_never_reach_the_features(source, tmp_path, monkeypatch):
    from sklearn.feature_extraction import text as sklearn_text

    vocabularies = []

    class Spy(sklearn_text.TfidfVectorizer):
        def fit_transform(self, *args, **kwargs):
            words = super().fit_transform(*args, **kwargs)
            vocabularies.append(set(self.vocabulary_))
            return words

    monkeypatch.setattr(sklearn_text, "TfidfVectorizer", Spy)
    data = load_dataset(config(source, tmp_path))
    planted = plant(source, tmp_path, data)
    assert sum(TELL_TALE in planted.reviews[row] for row in range(len(planted.reviews))) > 20
    settings = TextConfig(reviews=100, review_chars=1000, min_df=1)
    one, other = load_text(settings, data), load_text(settings, planted)
    assert "u1" in vocabularies[1]
    assert TELL_TALE not in vocabularies[1]
    np.testing.assert_array_equal(one.item, other.item)
    np.testing.assert_array_equal(one.user, other.user)
    # The same word in the training part is seen: the check can fail.
    seen = training_documents(planted, "item", 100, 1000)
    assert not any(TELL_TALE in text for text in seen)
    swapped = type(planted)(
        **{field: getattr(planted, field) for field in planted.__dataclass_fields__} | {"train": planted.test}
    )
    load_text(settings, swapped)
    assert TELL_TALE in vocabularies[2]


def test_the_encoder_reads_training_reviews_alone(source, tmp_path, monkeypatch):
    read = []

    def encode(encoder, texts, notice):
        read.extend(texts)
        return np.random.default_rng(len(texts)).normal(size=(len(texts), 8)).astype(np.float32)

    monkeypatch.setattr("jaxrec.data.text_encoder.encode", encode)
    planted = plant(source, tmp_path, load_dataset(config(source, tmp_path)))
    folder = write_encoder(tmp_path / "encoder")
    features = load_text(TextConfig(encoder=str(folder), reviews=100), planted, str(tmp_path / "cache"))
    assert features.user_mask.all()
    assert features.manifest["reviews"] == 100
    assert any("u1 of i" in text for text in read)
    assert not any(TELL_TALE in text for text in read)


def test_users_have_their_own_words(source, tmp_path):
    data = load_dataset(config(source, tmp_path))
    features = load_text(TextConfig(reviews=100, min_df=1), data)
    assert features.item_mask.all()
    alone = load_text(TextConfig(reviews=100, min_df=1, shuffle=True), data)
    assert not np.allclose(alone.user, features.user)
    assert alone.sha256 != features.sha256
    assert load_text(TextConfig(reviews=1, min_df=1), data).sha256 != features.sha256


def test_half_from_items_half_from_own_words():
    users = np.array([[3.0, 0], [0, 2], [0, 0], [1, 0], [0, 0]], np.float32)
    own = np.array([[0, 1.0], [5, 5], [0, 4], [-1, 0], [0, 0]], np.float32)
    masks = np.array([1, 1, 0, 1, 0], bool), np.array([1, 0, 1, 1, 0], bool)
    mixed, mask = with_own_texts((users, masks[0]), (own, masks[1]))
    np.testing.assert_array_equal(mask, [True, True, True, False, False])
    np.testing.assert_allclose(mixed[0], np.array([1, 1]) / np.sqrt(2) * 2, rtol=1e-6)
    np.testing.assert_allclose(mixed[1:], [[0, 2], [0, 4], [0, 0], [0, 0]], rtol=1e-6)


def test_the_sample_has_reviews():
    with_reviews, without = load_dataset(DataConfig(reviews=True)), load_dataset(DataConfig())
    np.testing.assert_array_equal(with_reviews.train.item_ids, without.train.item_ids)
    share = (with_reviews.train.reviews >= 0).mean()
    assert 0.5 < share < 0.7
    features, plain = load_text(TextConfig(reviews=5), with_reviews), load_text(TextConfig(), without)
    assert features.user_mask.all()
    assert features.sha256 != plain.sha256
    rng = np.random.default_rng(0)
    test, gaps = with_reviews.test, []
    for made in (features, plain):
        users = made.user[test.user_ids]
        own = (users * made.item[test.item_ids]).sum(axis=1)
        other = (users * made.item[rng.integers(0, 600, len(test))]).sum(axis=1)
        gaps.append((own > other).mean())
    assert min(gaps) > 0.6


# What is refused


def test_text_reviews_without_data_reviews(source, tmp_path):
    with pytest.raises(UserError, match="allowed: 0, or --data"):
        validate(Experiment(model=PopularityConfig(), text=TextConfig(reviews=5)))
    with pytest.raises(UserError, match="without review texts"):
        load_text(TextConfig(reviews=5), load_dataset(DataConfig()))


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"reviews": -1}, "text.reviews: found -1"), ({"review_chars": 0}, "text.review_chars: found 0")],
)
def test_impossible_numbers(settings, words):
    with pytest.raises(UserError, match=words):
        load_text(TextConfig(**settings), load_dataset(DataConfig(reviews=True)))


def test_given_vectors_take_no_reviews():
    with pytest.raises(UserError, match="beside text"):
        load_text(TextConfig(reviews=2, path="x.npy"), load_dataset(DataConfig(reviews=True)))
