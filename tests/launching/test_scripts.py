"""The scripts of launch/: what they would run, what they do run beside stand-ins for a cluster's programs, mistakes."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "launch"
SCRIPTS = sorted(LAUNCH.glob("*.sh"))
CLUSTER = ("SLURM_", "JAXREC_", "TPU_", "XLA_", "JAX_", "NCCL_", "PYTHON")


def call(script, *arguments, path=None, **environment):
    """Run a script without what a cluster, or this test run, says in the environment. path: searched first."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(CLUSTER)}
    clean |= environment | {"PATH": f"{path or LAUNCH}:/usr/bin:/bin"}
    command = ["bash", str(LAUNCH / script), *arguments]
    return subprocess.run(
        command, env=clean, capture_output=True, text=True, timeout=60, check=False, cwd=LAUNCH.parent
    )


def printed(script, *arguments, **environment):
    done = call(script, *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stand_in(tmp_path):
    """Programs that a cluster has and this machine has not: each a line of shell."""

    def put(**programs):
        for name, line in programs.items():
            file = tmp_path / name.replace("_", "-")
            file.write_text(f"#!/usr/bin/env bash\n{line}\n")
            file.chmod(0o755)
        return tmp_path

    return put


# Stands for the interpreter: says what it was told, and the environment.
PYTHON = 'echo "$0 $*" | sed "s,.*/,,"; env | grep -E "^(JAX|XLA|JAXREC|NCCL)" | sort'


def test_bash_reads_every_script():
    done = subprocess.run(["bash", "-n", *map(str, SCRIPTS)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {script.name for script in SCRIPTS} >= {
        "environment.sh",
        "a100x8.sh",
        "slurm.sh",
        "kubernetes.sh",
        "tpu_pod.sh",
    }


def test_shellcheck_finds_nothing():
    beside = pathlib.Path(sys.executable).with_name("shellcheck")
    program = str(beside) if beside.is_file() else shutil.which("shellcheck")
    if program is None:
        pytest.skip("shellcheck is not installed; the dev extra brings it")
    done = subprocess.run(
        [program, "-x", *map(str, SCRIPTS)], cwd=LAUNCH.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_dry_run_of_an_environment_is_a_script_that_sets_it(tmp_path):
    script = printed("environment.sh", "--dry-run", "gpu", "printenv", "XLA_FLAGS", XLA_FLAGS="--xla_a=1")
    done = subprocess.run(["bash", "-e"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "--xla_a=1 --xla_gpu_enable_latency_hiding_scheduler=true\n"


def test_what_is_set_stays_but_for_the_platform_and_simulated_devices():
    given = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8 --xla_gpu_enable_latency_hiding_scheduler=false",
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_PLATFORMS": "cpu",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.5",
    }
    found = dict(
        line.split("=", 1) for line in printed("environment.sh", "gpu", "env", **given).splitlines() if "=" in line
    )
    assert found["XLA_FLAGS"] == "--xla_gpu_enable_latency_hiding_scheduler=false"
    assert "JAX_NUM_CPU_DEVICES" not in found
    assert found["JAX_PLATFORMS"] == "cuda,cpu"
    assert found["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.5"
    of_cpu = printed("environment.sh", "cpu", "env", **given)
    assert "JAX_PLATFORMS=cpu\n" in of_cpu
    assert "--xla_force" not in of_cpu


@pytest.mark.parametrize("endpoints", ["10.0.0.2,10.0.0.3,10.0.0.4", "a:b:10.0.0.2,a:c:10.0.0.3,a:d:10.0.0.4"])
def test_hosts_of_a_tpu_slice_are_told_of_each_other(stand_in, endpoints):
    path = stand_in(
        curl=f'case "${{@: -1}}" in */worker-network-endpoints) echo {endpoints};; */agent-worker-number) echo 2;; esac'
    )
    found = printed("environment.sh", "tpu", "env", path=path)
    for line in (
        "JAXREC_COORDINATOR=10.0.0.2:8482",
        "JAXREC_NUM_PROCESSES=3",
        "JAXREC_PROCESS_ID=2",
        "JAX_PLATFORMS=tpu,cpu",
    ):
        assert f"{line}\n" in found
    # GKE says it in variables, which jaxrec reads itself.
    assert "JAXREC_" not in printed("environment.sh", "tpu", "env", path=path, TPU_WORKER_HOSTNAMES="a,b")


def test_a_tpu_machine_that_nobody_tells_of_a_slice_runs_alone_and_says_so(stand_in):
    done = call("environment.sh", "tpu", "env", path=stand_in(curl="exit 6"))
    assert done.returncode == 0
    assert "runs alone" in done.stderr
    assert "JAXREC_" not in done.stdout


def test_eight_gpus_are_wanted_and_counted(stand_in):
    arguments = ("--module", "precompute", "--config", "a b.py", "--name", "x")
    assert "python -m jaxrec.precompute --config a\\ b.py --name x" in printed("a100x8.sh", "--dry-run", *arguments)
    path = stand_in(nvidia_smi="seq 8", python=PYTHON)
    out = printed("a100x8.sh", *arguments, path=path)
    assert out.startswith("python -m jaxrec.precompute --config a b.py --name x\n")
    assert "JAX_PLATFORMS=cuda,cpu\n" in out
    done = call("a100x8.sh", *arguments, path=stand_in(nvidia_smi="seq 4"))
    assert done.returncode == 2
    assert "found 4 GPUs, this is for 8" in done.stderr


def test_a_slurm_job_is_a_step_of_one_process_for_each_gpu(stand_in):
    dry = printed("slurm.sh", "--dry-run", "--config", "c.py")
    assert "# sbatch --ntasks-per-node=8\n# sbatch --gpus-per-node=8\n" in dry
    assert "export JAX_PLATFORMS=cuda" in dry
    assert dry.splitlines()[-1].startswith("srun --kill-on-bad-exit=1 ")
    assert call("slurm.sh", "--config", "c.py").returncode == 2
    # srun does what follows its own flags.
    path = stand_in(srun='while [[ $1 == --* ]]; do shift; done; exec "$@"', python=PYTHON)
    out = printed("slurm.sh", "--config", "c.py", path=path, SLURM_JOB_ID="7", SLURM_SUBMIT_DIR=str(LAUNCH.parent))
    assert out.startswith("python -m jaxrec.launch --config c.py\n")
    assert "XLA_FLAGS=--xla_gpu_enable_latency_hiding_scheduler=true\n" in out


def test_a_slurm_job_submitted_from_elsewhere_says_what_to_do(tmp_path):
    done = call("slurm.sh", "--config", "c.py", SLURM_JOB_ID="7", SLURM_SUBMIT_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "submit from the checkout or set JAXREC_LAUNCH" in done.stderr


def jobset(text):
    document = yaml.safe_load(text)
    job = document["spec"]["replicatedJobs"][0]["template"]["spec"]
    return document, job, job["template"]["spec"]["containers"][0]


def test_the_jobset_stands_as_it_is():
    document, job, container = jobset((LAUNCH / "kubernetes_jobset.yaml").read_text())
    assert (document["apiVersion"], document["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["JAXREC_COORDINATOR"] == "$(JOBSET_NAME)-workers-0-0.$(JOBSET_NAME):8482"
    assert job["parallelism"] == job["completions"] == int(environment["JAXREC_NUM_PROCESSES"])
    # What restarts cannot mend ends the set: the exit status of a user's mistake.
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [2],
    }
    assert document["spec"]["failurePolicy"]["rules"][0]["onJobFailureReasons"] == ["PodFailurePolicy"]


def test_flags_fill_in_the_jobset(stand_in):
    arguments = [
        "--image",
        "e.org/j:1",
        "--name",
        "steam",
        "--nodes",
        "4",
        "--gpus",
        "2",
        "--claim",
        "disk",
        "--restarts",
        "3",
    ]
    words = ["--config", 'a "b" \\c.py', "--name", "x: # --nodes"]
    text = printed("kubernetes.sh", *arguments, "--module", "precompute", "--dry-run", *words)
    document, job, container = jobset(text)
    assert document["metadata"]["name"] == "steam"
    assert document["spec"]["failurePolicy"]["maxRestarts"] == 3
    assert (job["parallelism"], job["completions"]) == (4, 4)
    assert {"name": "JAXREC_NUM_PROCESSES", "value": "4"} in container["env"]
    assert container["image"] == "e.org/j:1"
    assert container["args"] == words
    assert container["command"] == ["bash", "launch/environment.sh", "gpu", "python", "-m", "jaxrec.precompute"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 2}
    assert job["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "disk"}
    applied = printed("kubernetes.sh", *arguments, *words, path=stand_in(kubectl='[[ "$*" == "apply -f -" ]] && cat'))
    assert jobset(applied)[2]["args"] == words


def test_a_tpu_pod_runs_the_same_on_every_host(stand_in, tmp_path):
    arguments = ["--name", "pod", "--zone", "z", "--project", "p", "--folder", str(LAUNCH.parent), "--python", "python"]
    words = ["--config", "it's.py", "--name", "x"]
    dry = printed("tpu_pod.sh", *arguments, "--dry-run", *words)
    assert "gcloud compute tpus tpu-vm ssh pod --zone=z --project=p --worker=all --command=" in dry
    # gcloud hands the command to a shell on each host.
    gcloud = 'for word in "$@"; do case $word in --command=*) bash -c "${word#--command=}";; esac; done'
    out = printed("tpu_pod.sh", *arguments, *words, path=stand_in(gcloud=gcloud, python=PYTHON, curl="exit 6"))
    assert out.startswith("python -m jaxrec.launch --config it's.py --name x\n")
    assert "JAX_PLATFORMS=tpu,cpu\n" in out


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("environment.sh", ["rocm", "true"], "found 'rocm', allowed: gpu, tpu, cpu"),
        ("environment.sh", ["gpu"], "no command"),
        ("a100x8.sh", ["--dry-run"], "no arguments for python -m jaxrec.launch"),
        ("slurm.sh", ["--module"], "--module: no value"),
        ("kubernetes.sh", ["--config", "c.py"], "--image: missing"),
        ("kubernetes.sh", ["--image", "i", "--nodes", "two", "--config", "c"], "--nodes: found 'two', allowed: 1"),
        ("tpu_pod.sh", ["--name", "n", "--config", "c.py"], "--zone: missing"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(script, arguments, words):
    done = call(script, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"launch/{script}: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("script", ["a100x8.sh", "slurm.sh", "kubernetes.sh", "tpu_pod.sh"])
def test_help_says_how_to_call_it(script):
    text = printed(script, "--help")
    assert f"launch/{script}" in text
    assert "--dry-run" in text
    assert "SBATCH" not in text
