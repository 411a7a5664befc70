"""The workloads for accelerators in their small size on a CPU: forms give the same, and 8 devices what 1 gives."""

import os

import numpy as np
import pytest

from jaxrec.bench import graph_devices, large_rerank, propagation, sequence_devices
from jaxrec.bench.devices import require_accelerators
from jaxrec.bench.lightgcn import LightGCNCase
from jaxrec.bench.lightgcn_device_epoch import left_out
from jaxrec.bench.on_mesh import relative
from jaxrec.bench.registry import load
from jaxrec.bench.settings import Settings
from jaxrec.bench.synthetic import LightGCNWorkload, lightgcn_workload
from jaxrec.errors import UserError

SMALL = Settings(repeats=1, scale="small")


def test_candidates_of_the_large_decoder_have_the_scores_of_their_own_prompts():
    entry = large_rerank.run(SMALL)
    assert entry["checks"] == {"scores equal": True}
    assert entry["variants"].keys() == {large_rerank.OURS, large_rerank.ONE_BY_ONE}
    assert large_rerank.DECODERS["full"].dtype == "bfloat16"


def test_the_large_decoder_is_of_seven_billion_parameters():
    work = large_rerank.least(large_rerank.DECODERS["full"], 512, 50)
    assert 2 * 6.5e9 < work.bytes < 2 * 6.8e9
    assert work.operations > 2 * 512 * 6.4e9


def test_a_propagation_fetches_a_row_for_each_edge():
    work = propagation.gathered(LightGCNWorkload())
    assert work.bytes == pytest.approx(2.57e9 + 6 * 18.1e6, rel=0.01)


def test_an_item_that_each_user_does_not_have_is_left_out():
    dataset = left_out(LightGCNCase(lightgcn_workload("small")))
    test, train = dataset.test, dataset.train
    assert (test.user_ids == np.arange(300)).all()
    pairs = set(zip(train.user_ids.tolist(), train.item_ids.tolist(), strict=True))
    assert not pairs & set(zip(test.user_ids.tolist(), test.item_ids.tolist(), strict=True))


@pytest.mark.parametrize("name", ["large_rerank", "graph_devices", "sequence_devices"])
def test_what_no_cpu_can_do_at_full_scale_is_refused(name):
    with pytest.raises(UserError, match=rf"{name}: found 0 accelerators, allowed: [12] or more"):
        load(name).run(Settings(repeats=1))
    with pytest.raises(UserError, match="found 0 accelerators, allowed: 8 or more"):
        require_accelerators(name, 8)


def test_losses_that_differ_fail_the_check():
    assert relative([2.0, 2.0, 2.1]) == pytest.approx(0.05)
    losses = {f"jaxrec {graph_devices.GRAPH}, 1 device": 0.5, f"jaxrec {graph_devices.GRAPH}, 8 devices": 0.501}
    assert graph_devices.checks(losses) == {f"{graph_devices.GRAPH}: losses equal": False}
    assert sequence_devices.checks({"1 device": 2.0, "8 devices": 2.0}) == {"losses equal": True}


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("workload", [graph_devices, sequence_devices])
def test_eight_devices_find_the_loss_of_one(workload):
    entry = workload.run(SMALL)
    assert all(entry["checks"].values())
    assert entry["variants"] == {}  # simulated devices are not timed
    assert len(entry["losses"]) == (5 if workload is graph_devices else 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["propagation", "lightgcn_device_epoch", "sasrec_epoch", "m3bsr_step"])
def test_small_runs_find_the_same_in_every_form(name):
    entry = load(name).run(Settings(1, os.environ.get("JAXREC_TORCH_PYTHON"), "small"))
    assert all(entry["checks"].values())
    assert entry["work"].keys() <= entry["variants"].keys()
