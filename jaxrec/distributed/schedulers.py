"""What schedulers say, in variables, of a process and its gang."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FIRST_PORT, _PORTS = 61440, 2047  # pairs of ports, chosen by the number of the job
_TPU_PORT = 8482  # not 8476, on which libtpu itself listens


def from_scheduler(environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of the gang as jaxrec.distributed.gang names them, as far as a scheduler says them; {} without one."""
    for read in (_slurm, _open_mpi, _tpu, _kubernetes):
        found = read(environment)
        if found:
            return found
    return {}


def _slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """A task of a step (`srun`); a batch script by itself, or an interactive shell, is no gang."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    if not all(environment.get(name) for name in names):
        return {}
    job, nodes, count, process = (environment[name] for name in names)
    tasks_here = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    return {
        "coordinator": f"{_first_node(nodes)}:{_port(int(job))}",
        "num_processes": count,
        "process_id": process,
        **_own_device(environment, environment.get("SLURM_LOCALID"), int(tasks_here.group()) if tasks_here else 1),
    }


def _first_node(nodes: str) -> str:
    """The first of `node1`, `node1,node7`, `node[003-010,12],other`, `rack1-node[1,3]`."""
    before, bracket, inside = nodes.partition("[")
    if "," in before or not bracket:
        return nodes.split(",")[0]
    return before + re.split("[],-]", inside)[0]


def _port(job: int) -> int:
    return _FIRST_PORT + 2 * (job % _PORTS)


def _open_mpi(environment: Mapping[str, str]) -> dict[str, str]:
    """A rank of `mpirun`. Where Open MPI does not say its own address (5.0 and later), --coordinator must."""
    names = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")
    if not all(environment.get(name) for name in names):
        return {}
    here = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1")
    found = {
        "num_processes": environment[names[0]],
        "process_id": environment[names[1]],
        **_own_device(environment, environment.get("OMPI_COMM_WORLD_LOCAL_RANK"), int(here)),
    }
    address = environment.get("OMPI_MCA_orte_hnp_uri", "")
    host = re.search(r"tcp://([^,:]+)|tcp6://\[([^],]+)", address)
    job = re.match(r"\d+", address)
    if host and job:
        found["coordinator"] = f"{host.group(1) or host.group(2)}:{_port(int(job.group()) >> 12)}"
    return found


def _tpu(environment: Mapping[str, str]) -> dict[str, str]:
    """A worker of a TPU pod, of several slices where MEGASCALE_NUM_SLICES says so."""
    hosts = [host for host in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if host]
    worker = environment.get("TPU_WORKER_ID", "")
    slices, which = environment.get("MEGASCALE_NUM_SLICES", "1"), environment.get("MEGASCALE_SLICE_ID", "0")
    if not worker or len(hosts) * int(slices) < 2:
        return {}
    first = environment.get("MEGASCALE_COORDINATOR_ADDRESS", hosts[0]).split(":")[0]
    return {
        "coordinator": f"{first}:{_TPU_PORT}",
        "num_processes": str(len(hosts) * int(slices)),
        "process_id": str(int(worker) + int(which) * len(hosts)),
    }


def _kubernetes(environment: Mapping[str, str]) -> dict[str, str]:
    """A pod of an indexed job knows its place; the manifest gives the address of the first pod and their number."""
    index = environment.get("JOB_COMPLETION_INDEX")
    return {"process_id": index} if index else {}


def _own_device(environment: Mapping[str, str], local_id: str | None, tasks_here: int) -> dict[str, str]:
    """One device each for the tasks of a machine, unless the scheduler shows each task only its own."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    alone = tasks_here == 1 or (visible is not None and len(visible.split(",")) < tasks_here)
    return {} if local_id is None or alone else {"local_devices": local_id}
