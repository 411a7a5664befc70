"""Kuaishou's published form, on small files of that form."""

import numpy as np
import pytest

from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.histories import histories
from jaxrec.data.interactions import IdMap
from jaxrec.data.prepared import load_dataset
from jaxrec.data.readers import read
from jaxrec.data.readers.kuaishou import read_photo_features
from jaxrec.errors import UserError
from tests.data.reading import AUTO, events_of, message


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXREC_CACHE", str(tmp_path / "cache"))


def kuaishou(folder, rows):
    folder.mkdir()
    (folder / "train_interaction.txt").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    (folder / "test_interaction.txt").write_text("1\t900\t614790\t10\n")
    (folder / "train_text.txt").write_text("31\t4,17\n32\t0\n")
    return folder


ROWS = [
    (1, 31, 1, 0, 0, 614784, 5, 12),
    (1, 32, 0, 0, 0, 614784, 0, 12),
    (1, 33, 1, 1, 0, 614786, 12, 12),
    (2, 31, 0, 0, 1, 614790, 0, 10),
]


def test_kuaishou_as_it_is_published(tmp_path):
    result = read(AUTO, kuaishou(tmp_path / "uimc", ROWS))
    assert result.format == "kuaishou"
    assert events_of(result.interactions) == [
        ("1", "31", "click", 614784),
        ("1", "33", "click", 614786),
        ("1", "33", "like", 614786),
        ("2", "31", "follow", 614790),
    ]
    assert result.item_text == {"31": "w4 w17"}
    assert [file.name for file in result.files] == ["train_interaction.txt", "train_text.txt"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1, 31, 2, 0, 0, 614784, 5, 12), ["line 5", "'click'", "'2'", "0 or 1"]),
        ((1, 31, 1, 0, 0, "noon", 5, 12), ["line 5", "'time'", "noon", "a number"]),
        ((1, 31, 1, 0, 0, 614784, 5), ["line 5", "7 fields", "8 fields are needed (user_id, photo_id, click"]),
    ],
)
def test_bad_rows_of_kuaishou_are_named(tmp_path, row, words):
    folder = kuaishou(tmp_path / "uimc", [*ROWS, row])
    found = message(folder)
    for word in words:
        assert word in found
    result = read(DataConfig(on_bad_row="skip"), folder)
    assert result.skipped_rows == 1
    assert len(result.interactions) == 4


def test_a_bad_row_of_the_cover_words_is_named(tmp_path):
    folder = kuaishou(tmp_path / "uimc", ROWS)
    (folder / "train_text.txt").write_text("31\t4,17\n32\n")
    assert "train_text.txt: line 2: found '32'; a photo, a tab and the numbers of words" in message(folder)


def test_kuaishou_with_its_behaviours_and_statistics_beside_the_papers_table(tmp_path):
    rows = [(user, 30 + n, 1, int(n % 2), 0, 100 + n, 1, 9) for user in (1, 2) for n in range(9)]
    config = DataConfig(
        path=str(kuaishou(tmp_path / "uimc", rows)), behaviors=("click=click", "favor=like+follow"),
        split="leave_one_out", filter=FilterConfig(min_events=5),
    )  # fmt: skip
    with pytest.raises(UserError, match="favor=follow, but the source has click, like"):
        load_dataset(config)
    dataset = load_dataset(DataConfig(path=config.path, behaviors=("click=click", "favor=like"), split="leave_one_out",
                                      filter=config.filter))  # fmt: skip
    statistics = dataset.provenance["behaviors"]["statistics"]
    assert (statistics["users"], statistics["items"], statistics["events"]) == (2, 9, 26)
    assert [statistics["behaviors"][name]["mean_per_user"] for name in ("click", "favor")] == [9.0, 4.0]
    # A like is at the time of its click: that click is not before it.
    clicks, favors = histories(dataset, "test", 9)
    assert np.count_nonzero(clicks[0]) == 7
    assert np.count_nonzero(favors[0]) == 3


def test_photo_features_are_read_by_item(tmp_path):
    items = IdMap(np.array(["31", "32", "33"]))
    np.save(tmp_path / "31.npy", np.arange(4, dtype=np.float64)[None])
    with (tmp_path / "33").open("wb") as stream:  # as it is published: no extension
        np.save(stream, np.full(4, 2, np.float32))
    features, mask = read_photo_features(tmp_path, items)
    assert features.dtype == np.float32
    assert features.tolist() == [[0, 1, 2, 3], [0, 0, 0, 0], [2, 2, 2, 2]]
    assert mask.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros(5), ["32.npy", "5 numbers", "before it have 4"]),
        (np.array([1, np.nan, 1, 1]), ["32.npy", "not finite"]),
        (np.zeros((2, 4)), ["32.npy", "shape (2, 4)", "a vector"]),
        (np.array(["a", "b", "c", "d"]), ["32.npy", "a vector"]),
        (None, ["32.npy", "cannot be read"]),
    ],
)
def test_photo_features_that_do_not_fit_are_refused(tmp_path, value, words):
    np.save(tmp_path / "31.npy", np.ones(4))
    if value is None:
        (tmp_path / "32.npy").write_text("no array")
    else:
        np.save(tmp_path / "32.npy", value)
    with pytest.raises(UserError) as refusal:
        read_photo_features(tmp_path, IdMap(np.array(["31", "32"])))
    for word in words:
        assert word in str(refusal.value)


def test_a_folder_without_a_photo_of_any_item_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"none of 1 items has a file there, such as 31\.npy"):
        read_photo_features(tmp_path, IdMap(np.array(["31"])))
    with pytest.raises(UserError, match="no such folder"):
        read_photo_features(tmp_path / "absent", IdMap(np.array(["31"])))
