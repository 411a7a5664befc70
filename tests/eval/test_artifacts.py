"""What is saved comes back under raw ids, and damage is told in one line."""

import numpy as np
import pytest

from jaxrec.errors import UserError
from jaxrec.eval.artifacts import load_per_user, save_per_user, save_topk
from jaxrec.eval.config import EvalConfig
from jaxrec.eval.ranking import FullRanking
from tests.eval.given import build_dataset, random_dataset, random_params


def test_values_of_every_user_come_back(rng, model, ctx, tmp_path):
    dataset = random_dataset(rng)
    params = random_params(rng, dataset)
    evaluations = {
        part: FullRanking(dataset, part, EvalConfig()).evaluate(model, params, ctx) for part in ("valid", "test")
    }
    save_per_user(tmp_path, evaluations, dataset)
    for part, evaluation in evaluations.items():
        users, values = load_per_user(tmp_path, part)
        assert users.tolist() == [f"u{user}" for user in evaluation.user_ids]
        assert values.keys() == evaluation.per_user.keys()
        assert values["ndcg@10"].mean() == evaluation.metrics["ndcg@10"]
    assert [path.name for path in tmp_path.iterdir()] == ["per_user.npz"]


def test_lists_are_saved_under_raw_ids(model, ctx, tmp_path):
    dataset = build_dataset(2, 5, ([(0, 0), (0, 1), (0, 2)], [], [(0, 3), (1, 4)]))
    params = random_params(np.random.default_rng(0), dataset)
    evaluation = FullRanking(dataset, "test", EvalConfig(k=(1,), save_topk=5)).evaluate(model, params, ctx, lists=True)
    save_topk(tmp_path, evaluation, dataset)
    with np.load(tmp_path / "topk.npz", allow_pickle=False) as saved:
        assert saved["user_ids"].tolist() == ["u0", "u1"]
        assert sorted(saved["item_ids"][0].tolist()) == ["", "", "", "i3", "i4"]
        assert sorted(saved["item_ids"][1].tolist()) == ["i0", "i1", "i2", "i3", "i4"]
        assert saved["scores"].dtype == np.float32


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"per_user\.npz: not found"):
        load_per_user(tmp_path, "test")
    (tmp_path / "per_user.npz").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(UserError, match="not a whole npz file"):
        load_per_user(tmp_path, "test")
