import dataclasses
import io
import json
import os
import signal

import jax
import numpy as np
import optax
import pytest
from rich.console import Console

from jaxrec.data.dataset import positives_csr
from jaxrec.errors import UserError
from jaxrec.train.checkpoint import Checkpoints
from jaxrec.train.config import DevicesConfig, OptimizerConfig, TrainConfig
from jaxrec.train.display import TrainingDisplay
from jaxrec.train.input import make_input
from jaxrec.train.loop import Trainer
from jaxrec.train.mesh import make_mesh, replicate
from jaxrec.train.metrics_log import MetricsLog, read_metrics
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.signals import StoppedBySignalError
from tests.train.tiny import RULES, TinyModel, tiny_context, tiny_dataset


def make(folder, *, model=None, devices=1, after_evaluation=lambda count: None, scores=None, notices=None, **settings):
    """A trainer over the tiny model; the validation metric is a fixed function of the parameters."""
    settings = {"epochs": 6, "batch_size": 64, "eval_every": 1, "patience": 0, "log_every": 2} | settings
    config = TrainConfig(optimizer=OptimizerConfig(learning_rate=0.05), monitor="score", **settings)
    mesh = make_mesh(DevicesConfig(count=devices), "model")
    data = make_input(tiny_dataset(), config, seed=3, notice=lambda message: None)
    calls = []

    def evaluate(params):
        calls.append(1)
        after_evaluation(len(calls))
        if scores is not None:
            return {"score": scores[len(calls) - 1]}
        return {"score": float(np.sum(np.asarray(params["item_embedding"])))}

    folder.mkdir(exist_ok=True)
    return Trainer(
        model=model or TinyModel(),
        optimizer=make_optimizer(config.optimizer, 100),
        ctx=replicate(tiny_context(mesh), mesh),
        mesh=mesh,
        rules=RULES,
        data=data,
        config=config,
        seed=3,
        evaluate=evaluate,
        checkpoints=Checkpoints(folder / "checkpoints"),
        open_log=lambda step: MetricsLog(folder, resume_step=step),
        display=TrainingDisplay(Console(file=io.StringIO()), 1, config.epochs),
        notice=(notices if notices is not None else []).append,
    )


def same_bits(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_every_pair_is_seen_once_an_epoch_and_negatives_are_not_positives(tmp_path):
    seen = []

    class Recorder(TinyModel):
        def loss(self, params, extra, batch, ctx, rng):
            jax.debug.callback(lambda b: seen.append(jax.tree.map(np.asarray, b)), batch, ordered=True)
            return super().loss(params, extra, batch, ctx, rng)

    make(tmp_path / "run", model=Recorder(), epochs=2).run()
    jax.effects_barrier()
    train = tiny_dataset().train
    indptr, items = positives_csr(train, 30)
    assert len(seen) == 8  # 2 epochs of ceil(200 / 64) steps
    orders = []
    for epoch in (seen[:4], seen[4:]):
        pairs = [
            (int(u), int(i))
            for batch in epoch
            for u, i, real in zip(batch["user_ids"], batch["item_ids"], batch["mask"], strict=True)
            if real
        ]
        assert sorted(pairs) == sorted(zip(train.user_ids.tolist(), train.item_ids.tolist(), strict=True))
        orders.append(pairs)
    assert orders[0] != orders[1]
    for batch in seen:
        for user, negative in zip(batch["user_ids"], batch["negative_item_ids"], strict=True):
            assert negative not in items[indptr[user] : indptr[user + 1]]


@pytest.mark.parametrize("source", ["device", "blocks"])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one_to_the_last_bit(tmp_path, source):
    whole = make(tmp_path / "whole", input=source).run()

    def stop_at_two(count):
        if count == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedBySignalError) as stopped:
        make(tmp_path / "parts", input=source, after_evaluation=stop_at_two).run()
    assert stopped.value.exit_code == 143
    notices = []
    resumed = make(tmp_path / "parts", input=source, notices=notices).run()
    assert "resumed from the checkpoint of step 8" in notices[0]
    same_bits(whole.params, resumed.params)
    assert whole.best_step == resumed.best_step
    strip = [
        [
            (line["step"], line["split"], line["metrics"]["score"])
            for line in read_metrics(tmp_path / name / "metrics.jsonl")
            if line["split"] == "valid"
        ]
        for name in ("whole", "parts")
    ]
    assert strip[0] == strip[1]


def test_how_steps_are_divided_into_calls_does_not_change_them(tmp_path):
    first = make(tmp_path / "a", log_every=1).run()
    second = make(tmp_path / "b", log_every=1000).run()
    same_bits(first.params, second.params)


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(tmp_path):
    whole = make(tmp_path / "whole", epochs=6).run()

    def stop_at_four(count):
        if count == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedBySignalError) as stopped:
        make(tmp_path / "run", after_evaluation=stop_at_four).run()
    assert stopped.value.exit_code == 130
    newest = tmp_path / "run" / "checkpoints" / "16"
    damaged = max(
        (path for path in newest.rglob("*") if path.is_file() and "ocdbt" in str(path)), key=lambda p: p.stat().st_size
    )
    damaged.write_bytes(damaged.read_bytes()[:-3] + b"xyz")
    notices = []
    resumed = make(tmp_path / "run", notices=notices).run()
    assert "damaged checkpoint 16" in notices[0]
    assert damaged.name in notices[0]
    same_bits(whole.params, resumed.params)


def test_all_checkpoints_damaged_is_an_error_and_not_a_new_start(tmp_path):
    make(tmp_path / "run", epochs=2).run()
    for path in (tmp_path / "run" / "checkpoints").glob("*/files.json"):
        path.unlink()
    with pytest.raises(UserError, match="no checkpoint is whole"):
        make(tmp_path / "run", epochs=3).run()


def test_a_damaged_best_checkpoint_is_told_in_one_line(tmp_path):
    scores = [3.0, 1.0, 1.0, 1.0, 1.0]
    make(tmp_path / "run", epochs=5, scores=scores).run()
    (tmp_path / "run" / "checkpoints" / "4" / "meta.json").unlink()
    with pytest.raises(UserError, match=r"the best one is lost: checkpoint 4: meta\.json is missing"):
        make(tmp_path / "run", epochs=5).run()


def test_a_full_disk_is_told_and_leaves_the_checkpoints_that_are_there(tmp_path, monkeypatch):
    import collections
    import shutil

    make(tmp_path / "run", epochs=1).run()
    usage = collections.namedtuple("usage", "total used free")(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="cannot write a checkpoint: the disk is full"):
        make(tmp_path / "run", epochs=3, scores=[1.0, 2.0]).run()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["4"]


def test_early_stopping_keeps_the_best_step_and_the_last(tmp_path):
    result = make(tmp_path / "run", patience=2, scores=[1.0, 3.0, 2.0, 3.0, 9.0, 9.0]).run()
    assert result.steps == 16  # two evaluations without gain after the second
    assert result.best_step == 8
    best = Checkpoints(tmp_path / "run" / "checkpoints")
    assert {8, 16} <= set(best.steps())
    assert best.meta(16)["stopping"] == {"best_value": 3.0, "best_step": 8, "evaluations_since_best": 2}


def test_a_loss_that_is_not_finite_stops_with_step_part_and_last_good_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"step 9: .*bpr = nan.*checkpoints/8"):
        make(tmp_path / "run", model=TinyModel(explode_at=9), scores=[1.0, 2.0]).run()
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps()[-1] == 8


def test_parameters_that_an_update_made_infinite_are_neither_ranked_nor_kept(tmp_path):
    # One step: its loss is finite, what it leaves is not.
    trainer = dataclasses.replace(make(tmp_path / "run", epochs=1, batch_size=200), optimizer=optax.sgd(float("inf")))
    with pytest.raises(UserError, match=r"step 1: the parameters are not finite; no checkpoint was written yet"):
        trainer.run()
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == []


def test_the_best_step_that_an_older_checkpoint_knows_of_is_kept(tmp_path):
    # Best at 4, then at 12: if 12 is damaged, the run goes on from 8, whose best is 4.
    make(tmp_path / "run", epochs=2, scores=[2.0, 1.0]).run()
    make(tmp_path / "run", epochs=3, scores=[3.0]).run()
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == [4, 8, 12]


@pytest.mark.parametrize("devices", [2, 8])
def test_devices_do_not_change_the_result_and_a_checkpoint_moves_between_them(tmp_path, devices):
    one = make(tmp_path / "one").run()
    many = make(tmp_path / "many", devices=devices).run()
    np.testing.assert_allclose(one.params["item_embedding"], many.params["item_embedding"], rtol=1e-4, atol=1e-5)

    def stop_at_two(count):
        if count == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedBySignalError):
        make(tmp_path / "moved", devices=devices, after_evaluation=stop_at_two).run()
    moved = make(tmp_path / "moved", devices=1).run()
    np.testing.assert_allclose(one.params["item_embedding"], moved.params["item_embedding"], rtol=1e-4, atol=1e-5)


def test_metrics_lines_hold_losses_rates_and_validation(tmp_path):
    make(tmp_path / "run", epochs=1).run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["split"] for line in lines] == ["train", "train", "valid"]
    assert lines[0].keys() == {"step", "epoch", "split", "metrics", "seconds"}
    assert {"loss", "bpr", "examples_per_second"} <= lines[0]["metrics"].keys()
    assert lines[0]["metrics"]["loss"] == pytest.approx(np.log(2), abs=0.02)


def test_users_with_the_whole_catalogue_are_left_out_and_said(tmp_path):
    dataset = tiny_dataset()
    items = np.arange(40, dtype=np.int32)
    train = dataclasses.replace(
        dataset.train,
        user_ids=np.concatenate([np.zeros(40, np.int32), dataset.train.user_ids[dataset.train.user_ids > 0]]),
        item_ids=np.concatenate([items, dataset.train.item_ids[dataset.train.user_ids > 0]]),
    )
    said = []
    data = make_input(dataclasses.replace(dataset, train=train), TrainConfig(batch_size=1), 0, said.append)
    assert data.steps_per_epoch == int((dataset.train.user_ids > 0).sum())
    assert "1 users have every item" in said[0]
