"""What a run says before anything is compiled."""

import types

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxrec.data.dataset import Dataset
from jaxrec.data.text import load_text
from jaxrec.data.text_config import TextConfig
from jaxrec.data.text_files import write_text_features
from jaxrec.eval.rankings import Rankings
from jaxrec.report import describe_protocol, describe_text, rankings_lines
from tests.data.making import interactions

RAW = (["a", "b"], ["x", "y", "z"])
VECTORS = np.ones((3, 4), np.float32)


def said(path):
    part = interactions([(0, 0), (1, 2)], raw=RAW)
    dataset = Dataset("tiny", "path", part, part, part, "d" * 64, {})
    return describe_text(types.SimpleNamespace(text=load_text(TextConfig(path=str(path)), dataset)))


@pytest.mark.parametrize("form", ["folder", "one file"])
def test_user_texts_of_an_unknown_split_are_told(tmp_path, form):
    users, items = tmp_path / "users", tmp_path / "items"
    if form == "folder":
        write_text_features(users, VECTORS, model="tower", user=VECTORS[:2])
        write_text_features(items, VECTORS, model="tower")
    else:
        users, items = (path.with_suffix(".safetensors") for path in (users, items))
        save_file({"item": VECTORS, "user": VECTORS[:2]}, users)
        save_file({"item": VECTORS}, items)
    assert "its user texts name no dataset_sha256, so they may know of test items" in said(users)
    assert said(items) == "given, 4 wide, of 3 items and 2 users"


def test_reviews_of_an_unknown_split_are_told_and_known_ones_are_not(tmp_path):
    write_text_features(tmp_path / "a", VECTORS, model="tower", extra={"reviews": 3})
    assert "its reviews name no dataset_sha256" in said(tmp_path / "a")
    write_text_features(tmp_path / "b", VECTORS, model="tower", user=VECTORS[:2], extra={"dataset_sha256": "d" * 64})
    assert "dataset_sha256" not in said(tmp_path / "b")


def test_a_ranking_of_several_targets_is_called_so():
    record = {"num_users": 5, "masked": ["train"], "single_target": False}
    result = {"dataset": {"num_items": 1200}}
    said = describe_protocol("full", record, result)
    assert said == "multi_target_full ranking of 1,200 items for 5 users, test part; masked: train"
    assert describe_protocol("full", record | {"single_target": True}, result).startswith("full ranking of 1,200")
    assert describe_protocol("sampled99", record, result).startswith("sampled99 ranking of one target")


def test_the_lists_that_a_model_ranks_by_are_named():
    users, items = np.arange(3, dtype=np.int32), np.zeros((3, 20), np.int32)
    lists = Rankings(users, items, np.array([2, 3, 3]), np.zeros((3, 20)), np.zeros(3, bool))
    experiment = types.SimpleNamespace(model=types.SimpleNamespace(rankings="made/ranking-1"))
    expected = "lists    made/ranking-1: 20 candidates of each of 3 users, 2.7 of them placed by the language model"
    assert rankings_lines(types.SimpleNamespace(rankings=lists, experiment=experiment)) == [expected]
    assert rankings_lines(types.SimpleNamespace(rankings=None)) == []
