"""Several seeds in one program: each as by itself, in losses, best step and what it keeps."""

import dataclasses
import io
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from jaxrec.errors import UserError
from jaxrec.models.base import LossOutput
from jaxrec.train.checkpoint import Checkpoints
from jaxrec.train.config import OptimizerConfig, TrainConfig
from jaxrec.train.display import TrainingDisplay
from jaxrec.train.early_stopping import EarlyStopping
from jaxrec.train.input import make_input
from jaxrec.train.loop import Trainer
from jaxrec.train.metrics_log import MetricsLog, read_metrics
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.seed_run import SeedRun
from jaxrec.train.seeds import SeedsTrainer
from jaxrec.train.signals import StoppedBySignalError
from tests.train.tiny import RULES, TinyModel, tiny_context, tiny_dataset

SEEDS = (3, 4, 2**32 - 1)
CONFIG = TrainConfig(
    optimizer=OptimizerConfig(learning_rate=0.05),
    monitor="score",
    epochs=5,
    batch_size=64,
    eval_every=1,
    patience=2,
    log_every=3,
)


def common(model, on_evaluation):
    calls = []

    def evaluate(params):
        calls.append(1)
        on_evaluation(len(calls))
        return {"score": float(jnp.sin(9 * params["item_embedding"].sum()))}  # goes up and down, another for each seed

    return {
        "model": model,
        "optimizer": make_optimizer(CONFIG.optimizer, 100),
        "ctx": tiny_context(),
        "mesh": None,
        "rules": RULES,
        "data": make_input(tiny_dataset(), CONFIG, 0, lambda message: None),
        "config": CONFIG,
        "evaluate": evaluate,
        "display": TrainingDisplay(Console(file=io.StringIO()), 1, CONFIG.epochs),
    }


def several(folder, *, model=None, notices=None, on_evaluation=lambda count: None):
    runs = []
    for seed in SEEDS:
        own = folder / f"seed-{seed}"
        own.mkdir(parents=True, exist_ok=True)
        open_log = lambda step, own=own: MetricsLog(own, resume_step=step)  # noqa: E731
        runs.append(SeedRun(seed, Checkpoints(own / "checkpoints"), open_log, EarlyStopping(CONFIG.patience)))
    notice = (notices if notices is not None else []).append
    return SeedsTrainer(runs=tuple(runs), notice=notice, **common(model or TinyModel(), on_evaluation))


def alone(folder, seed):
    folder.mkdir(parents=True)
    return Trainer(
        seed=seed,
        checkpoints=Checkpoints(folder / "checkpoints"),
        open_log=lambda step: MetricsLog(folder, resume_step=step),
        notice=lambda message: None,
        **common(TinyModel(), lambda count: None),
    )


def lines(folder, split):
    return [
        (line["step"], {name: value for name, value in line["metrics"].items() if name != "examples_per_second"})
        for line in read_metrics(folder / "metrics.jsonl")
        if line["split"] == split
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, several(folder).run()


def test_each_seed_is_as_by_itself(whole, tmp_path):
    folder, results = whole
    assert len({result.steps for result in results}) > 1  # some stop before others
    for seed, result in zip(SEEDS, results, strict=True):
        single = alone(tmp_path / str(seed), seed).run()
        assert (result.steps, result.best_step) == (single.steps, single.best_step)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), result.params, single.params)
        for split in ("train", "valid"):
            found, expected = lines(folder / f"seed-{seed}", split), lines(tmp_path / str(seed), split)
            assert [step for step, _ in found] == [step for step, _ in expected]
            for (_, some), (_, others) in zip(found, expected, strict=True):
                assert some == pytest.approx(others, rel=1e-4, abs=1e-5)


def test_stopped_and_resumed_seeds_equal_uninterrupted_ones_to_the_last_bit(whole, tmp_path):
    def stop_in_the_second_epoch(count):
        if count == len(SEEDS) + 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedBySignalError):
        several(tmp_path, on_evaluation=stop_in_the_second_epoch).run()
    # As if the process had been killed while it saved: the last seed lacks the newest step.
    own = Checkpoints(tmp_path / f"seed-{SEEDS[-1]}" / "checkpoints")
    assert own.steps() == [4, 8]
    own.discard_after(4)
    notices = []
    resumed = several(tmp_path, notices=notices).run()
    assert notices == ["resumed 3 seeds from their checkpoints of step 4"]
    for found, expected in zip(resumed, whole[1], strict=True):
        assert (found.steps, found.best_step) == (expected.steps, expected.best_step)
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
    for seed in SEEDS:
        assert lines(tmp_path / f"seed-{seed}", "valid") == lines(whole[0] / f"seed-{seed}", "valid")


@dataclasses.dataclass(frozen=True)
class Explodes(TinyModel):
    """The loss of one seed is NaN."""

    def init(self, rng, ctx):
        params, extra = super().init(rng, ctx)
        return params, extra | {"explodes": (jax.random.key_data(rng) == jax.random.key_data(jax.random.key(4))).all()}

    def loss(self, params, extra, batch, ctx, rng):
        output = super().loss(params, extra, batch, ctx, rng)
        kept = output.extra | {"explodes": extra["explodes"]}
        return LossOutput(jnp.where(extra["explodes"], jnp.nan, output.total), output.parts, kept)


def test_a_loss_that_is_not_finite_names_its_seed(tmp_path):
    with pytest.raises(UserError, match=r"step 0: the loss is not finite \(seed 4: loss = nan\); no checkpoint"):
        several(tmp_path, model=Explodes()).run()


def test_checkpoints_that_no_seed_can_go_on_from_are_an_error(whole, tmp_path):
    several(tmp_path).run()
    for path in (tmp_path / f"seed-{SEEDS[1]}").glob("checkpoints/*/files.json"):
        path.unlink()
    with pytest.raises(UserError, match="no step has a whole checkpoint of every seed"):
        several(tmp_path).run()
