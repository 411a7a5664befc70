"""One process of a run of the tiny model: FOLDER EPOCHS.

Process 1 is asked to stop at the first validation, which saves and stops both; they go on at once. Then process 0 runs
by itself, in FOLDER/alone. At the end process 1 is killed while process 0 waits for it.
"""

import os
import pathlib
import signal
import sys

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from rich.console import Console

from jaxrec.command_line import run_command
from jaxrec.distributed import barrier, first_alone, is_first
from jaxrec.train.checkpoint import Checkpoints
from jaxrec.train.config import DevicesConfig, OptimizerConfig, TrainConfig
from jaxrec.train.display import TrainingDisplay
from jaxrec.train.input import make_input
from jaxrec.train.loop import Trainer
from jaxrec.train.mesh import make_mesh, replicate
from jaxrec.train.metrics_log import MetricsLog, NoLog
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.signals import StoppedBySignalError
from tests.train.tiny import RULES, TinyModel, tiny_context, tiny_dataset


def trainer(folder, epochs, devices, validating=lambda: None):
    """A line of metrics a step, a checkpoint an epoch. validating: called by every validation."""
    config = TrainConfig(
        optimizer=OptimizerConfig(learning_rate=0.05), monitor="score", epochs=epochs, batch_size=64, eval_every=1,
        patience=0, log_every=1, checkpoint_every_seconds=0.0,
    )  # fmt: skip
    mesh = make_mesh(DevicesConfig(count=devices), "model")
    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    total = jax.jit(lambda table: table.sum(), out_shardings=everywhere)

    def evaluate(params):
        validating()
        return {"score": float(np.asarray(total(params["item_embedding"])))}

    folder.mkdir(exist_ok=True)
    return Trainer(
        model=TinyModel(),
        optimizer=make_optimizer(config.optimizer, 100),
        ctx=replicate(tiny_context(mesh), mesh),
        mesh=mesh,
        rules=RULES,
        data=make_input(tiny_dataset(), config, seed=3, notice=lambda message: None),
        config=config,
        seed=3,
        evaluate=evaluate,
        checkpoints=Checkpoints(folder / "checkpoints"),
        open_log=lambda step: MetricsLog(folder, resume_step=step) if is_first() else NoLog(),
        display=TrainingDisplay(Console(quiet=True), 1, epochs),
        notice=lambda message: None,
    )


def main(argv):
    folder, epochs = pathlib.Path(argv[0]), int(argv[1])

    def ask_to_stop():
        if not is_first():
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        trainer(folder, epochs, jax.device_count(), ask_to_stop).run()
    except StoppedBySignalError as stopped:
        (folder / f"stopped-{is_first()}").write_text(f"{stopped.exit_code} {stopped.step}")
    trainer(folder, epochs, jax.device_count()).run()
    with first_alone("a run of its own") as working:
        if working:
            trainer(folder / "alone", 1, 1).run()
    if not is_first():
        os.kill(os.getpid(), signal.SIGKILL)
    barrier("that nobody else comes to")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main, among_others="all"))
