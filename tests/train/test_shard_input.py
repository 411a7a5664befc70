"""Training from shards: the same on one device and on eight, resumed to the bit, and through the main command."""

import json
import pathlib

import jax
import numpy as np
import optax
import pytest

from jaxrec import launch
from jaxrec.command_line import run_command
from jaxrec.data.dataset import Dataset
from jaxrec.errors import UserError
from jaxrec.models.base import Context
from jaxrec.models.bprmf import BPRMF, BPRMFConfig
from jaxrec.models.sasrec_config import SASRecConfig
from jaxrec.prepare import main as prepare
from jaxrec.train.config import DevicesConfig, TrainConfig
from jaxrec.train.input import make_input
from jaxrec.train.mesh import make_mesh, replicate
from jaxrec.train.state import abstract_state, first_state
from tests.data.shards.making import sharded, write_events
from tests.train.tiny import tiny_dataset

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "configs" / "bprmf_ml1m_small.py"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    return sharded(tmp_path_factory.mktemp("data"))[0]


def trained(dataset, devices, calls):
    """Losses of the calls, of so many steps each, and the last state."""
    mesh = make_mesh(DevicesConfig(count=devices), "model")
    ctx = replicate(Context(item_counts=dataset.item_counts, mesh=mesh), mesh)
    model, optimizer = BPRMF(BPRMFConfig(dim=8), dataset.num_users, dataset.num_items), optax.adam(0.01)
    abstract = abstract_state(model, optimizer, ctx, 0, model.config.partition_rules, mesh)
    placed = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    state = jax.jit(first_state, static_argnums=(0, 1, 3), out_shardings=placed)(model, optimizer, ctx, 0)
    data = make_input(dataset, TrainConfig(batch_size=64), 0, print, model.config)
    call = data.compile(model, optimizer, 0, state, ctx, placed, lambda tree: replicate(tree, mesh))
    losses = []
    for steps in calls:
        state, progress = call(state, steps)
        assert int(progress.steps) == steps
        losses.append(float(progress.sums["loss"]))
    return losses, jax.device_get(state)


def test_one_device_and_eight_learn_the_same_however_steps_are_called(dataset):
    losses, one = trained(dataset, 1, (3, 1, 2))
    assert losses[0] > 0
    others, eight = trained(dataset, 8, (3, 3))
    np.testing.assert_allclose([losses[0], losses[1] + losses[2]], others, rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(one.params), jax.tree.leaves(eight.params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_shards_are_asked_for_where_there_are_none_and_by_models_of_sequences(dataset):
    with pytest.raises(UserError, match=r"train.input: found shards, but data.path is no folder of them"):
        make_input(tiny_dataset(), TrainConfig(input="shards"), 0, print)
    with pytest.raises(UserError, match=r"model.name: found sasrec, which reads sequences"):
        make_input(dataset, TrainConfig(), 0, print, SASRecConfig())


def test_the_main_command_trains_on_shards(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXREC_DATA", raising=False)
    monkeypatch.setattr("jaxrec.train.compilation_cache.enable_compilation_cache", lambda: None)
    write_events(tmp_path / "events.csv", rows=3000)
    assert run_command(prepare, ["--config", str(CONFIG), "--path", "events.csv", "--shards", "shards"]) == 0
    flags = ["--data.path", "shards", "--model.dim", "8", "--train.epochs", "1", "--devices.count", "1"]
    flags += ["--train.batch-size", "64", "--eval.max-users", "20", "--eval.save-topk", "5", "--eval.k", "5", "10"]
    status = run_command(launch.main, ["--config", str(CONFIG), "--workdir", "run", *flags])
    assert status == 0, capsys.readouterr().err
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["protocols"]["full"]["num_users"] == 20
    assert json.loads((tmp_path / "run" / "config.json").read_text())["experiment"]["train"]["input"] == "shards"
