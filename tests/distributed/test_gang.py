"""Who is told to run with whom: flags before variables before schedulers, and mistakes in one line."""

import pytest

from jaxrec.distributed import Gang, find_gang
from jaxrec.distributed.schedulers import from_scheduler
from jaxrec.errors import UserError

FLAGS = ["--coordinator", "10.0.0.1:1234", "--num-processes=4", "--process-id", "2"]
SLURM = {
    "SLURM_JOB_ID": "2048", "SLURM_STEP_NODELIST": "node[007-009]", "SLURM_STEP_NUM_TASKS": "24",
    "SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "8(x3)",
}  # fmt: skip


def test_alone_where_nothing_is_said():
    assert find_gang(["--model.dim", "8"], {}) == (None, ["--model.dim", "8"])
    assert find_gang([], {"JOB_COMPLETION_INDEX": "0"}) == (None, [])
    assert find_gang([], {**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) == (None, [])


def test_flags_are_taken_out_wherever_they_stand():
    gang, rest = find_gang(["--config", "c.py", *FLAGS, "--model.dim", "8"], {})
    assert gang == Gang("10.0.0.1", 1234, 4, 2)
    assert rest == ["--config", "c.py", "--model.dim", "8"]


def test_flags_go_before_variables_and_these_before_a_scheduler():
    said = {"JAXREC_COORDINATOR": "there:99", "JAXREC_PROCESS_ID": "1", "JAXREC_STOP_TIMEOUT": "12"}
    gang, _ = find_gang(["--process-id", "3"], {**SLURM, **said})
    assert gang == Gang("there", 99, 24, 3, (1,), stop_timeout=12.0)


def test_an_address_of_version_six():
    gang, _ = find_gang(["--coordinator", "[fe80::1]:80", "--num-processes", "2", "--process-id", "0"], {})
    assert gang is not None
    assert (gang.host, gang.port) == ("fe80::1", 80)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (FLAGS[:3], "--process-id (or JAXREC_PROCESS_ID): missing"),
        (["--num-processes", "2", "--process-id", "0"], "--coordinator (or JAXREC_COORDINATOR): missing"),
        ([*FLAGS[:3], "--process-id", "4"], "--process-id: found 4, allowed: a whole number from 0 to 3"),
        (["--num-processes"], "--num-processes: no value"),
        ([*FLAGS, "--coordinator", "nowhere"], "--coordinator: found nowhere, allowed: HOST:PORT"),
        ([*FLAGS, "--stop-timeout", "0"], "--stop-timeout: found 0, allowed: seconds from 1"),
        ([*FLAGS, "--local-devices", "a"], "--local-devices: found a, allowed: numbers"),
    ],
)
def test_a_mistake_names_the_flag(flags, message):
    with pytest.raises(UserError) as told:
        find_gang(flags, {})
    assert str(told.value).startswith(message)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node1", "node1"),
        ("node1,other7", "node1"),
        ("node[007-009]", "node007"),
        ("node[3,7-9],x", "node3"),
        ("gpu-a[12]", "gpu-a12"),
        ("a1,b[2-3]", "a1"),
    ],
)
def test_the_first_node_of_slurm_is_the_coordinator(nodes, first):
    found = from_scheduler({**SLURM, "SLURM_STEP_NODELIST": nodes})
    assert found["coordinator"] == f"{first}:61442"
    assert (found["num_processes"], found["process_id"], found["local_devices"]) == ("24", "9", "1")


def test_a_task_that_sees_its_own_device_alone_takes_what_it_sees():
    assert "local_devices" not in from_scheduler({**SLURM, "CUDA_VISIBLE_DEVICES": "5"})
    assert "local_devices" in from_scheduler({**SLURM, "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"})
    assert "local_devices" not in from_scheduler({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1(x24)"})


def test_open_mpi():
    said = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}
    assert from_scheduler(said) == {"num_processes": "2", "process_id": "1"}
    said["OMPI_MCA_orte_hnp_uri"] = "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"
    assert from_scheduler(said)["coordinator"].startswith("10.96.0.1:6")


def test_a_tpu_pod_and_its_slices():
    said = {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "1"}
    assert from_scheduler(said) == {"coordinator": "a:8482", "num_processes": "2", "process_id": "1"}
    said |= {"MEGASCALE_NUM_SLICES": "3", "MEGASCALE_SLICE_ID": "2", "MEGASCALE_COORDINATOR_ADDRESS": "z:1"}
    assert from_scheduler(said) == {"coordinator": "z:8482", "num_processes": "6", "process_id": "5"}
    assert from_scheduler({"TPU_WORKER_HOSTNAMES": "a", "TPU_WORKER_ID": "0"}) == {}


def test_a_pod_of_an_indexed_job_knows_its_place():
    said = {"JOB_COMPLETION_INDEX": "3", "JAXREC_COORDINATOR": "job-0:80", "JAXREC_NUM_PROCESSES": "4"}
    assert find_gang([], said)[0] == Gang("job-0", 80, 4, 3)
