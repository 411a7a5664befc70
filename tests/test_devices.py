"""One and eight devices compute the same run, and say little to each other."""

import jax
import numpy as np
import pytest

from jaxrec.assembly import assemble
from jaxrec.bench.collectives import collective_bytes
from jaxrec.config import Experiment
from jaxrec.data.dataset import positives_csr
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.lmmrec import LMMRecConfig
from jaxrec.train.config import DevicesConfig, OptimizerConfig, TrainConfig
from jaxrec.train.input import DeviceInput
from jaxrec.train.mesh import replicate
from jaxrec.train.optimizer import make_optimizer
from jaxrec.train.state import abstract_state, first_state
from jaxrec.train.step import PairData, make_device_loop


def prepare(model, devices, batch_size):
    train = TrainConfig(batch_size=batch_size, optimizer=OptimizerConfig(learning_rate=3e-3))
    experiment = Experiment(model, train=train, devices=DevicesConfig(count=devices))
    assembly = assemble(experiment, lambda message: None)
    optimizer = make_optimizer(train.optimizer, 100)
    rules = assembly.experiment.model.partition_rules
    abstract = abstract_state(assembly.model, optimizer, assembly.ctx, 0, rules, assembly.mesh)
    places = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    init = jax.jit(first_state, static_argnums=(0, 1, 3), out_shardings=places)
    return assembly, optimizer, places, init(assembly.model, optimizer, assembly.ctx, 0)


def losses_of_first_steps(model, devices, steps=20, batch_size=256):
    assembly, optimizer, places, state = prepare(model, devices, batch_size)
    train, ctx = assembly.dataset.train, assembly.ctx
    data = DeviceInput((train.user_ids, train.item_ids), positives_csr(train, assembly.dataset.num_users), batch_size)
    call = data.compile(assembly.model, optimizer, 0, state, ctx, places, lambda tree: replicate(tree, assembly.mesh))
    losses = []
    for _ in range(steps):
        state, progress = call(state, 1)
        losses.append(float(progress.sums["loss"]))
    return np.asarray(losses)


MODELS = [BPRMFConfig(dim=16), LightGCNConfig(dim=16), LMMRecConfig(base=LightGCNConfig(dim=16), num_prototypes=16)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_first_twenty_losses_do_not_depend_on_the_devices(model):
    one = losses_of_first_steps(model, 1)
    assert np.isfinite(one).all()
    assert len(set(one)) == 20
    for devices in (2, 8):
        np.testing.assert_allclose(losses_of_first_steps(model, devices), one, rtol=1e-5, atol=1e-5)


def step_collectives(model, batch_size=2048):
    """Bytes of the collectives in one step's program on eight devices."""
    assembly, optimizer, places, state = prepare(model, 8, batch_size)
    train = assembly.dataset.train
    data = PairData(train.user_ids, train.item_ids, *positives_csr(train, assembly.dataset.num_users))
    run = make_device_loop(assembly.model, optimizer, batch_size, 0)
    jitted = jax.jit(run, donate_argnums=0, out_shardings=(places, None))
    steps = replicate(np.int32(1), assembly.mesh)
    compiled = jitted.lower(state, steps, replicate(data, assembly.mesh), assembly.ctx).compile()
    return collective_bytes(compiled.as_text())


def test_a_lightgcn_step_says_at_most_64_kib():
    said = step_collectives(LightGCNConfig(dim=64))
    assert 0 < sum(said.values()) <= 64 * 1024


def test_what_an_lmmrec_step_says_does_not_grow_with_the_tables():
    model = LMMRecConfig(base=LightGCNConfig(dim=32))
    said = sum(step_collectives(model, batch_size=512).values())
    rows = 4 * 3 * 512 * 32 * 4  # all layers of a batch's rows, gathered once
    assert said <= 8 * rows
