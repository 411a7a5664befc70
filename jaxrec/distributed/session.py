"""The one place that knows whether this process is one of several."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import platform
import sys
import traceback
import types
from collections.abc import Iterator
from typing import TypeVar

from jaxrec.distributed.gang import Gang
from jaxrec.distributed.member import Member, exit_with
from jaxrec.distributed.relay import Relay
from jaxrec.distributed.switchboard import loopback
from jaxrec.errors import UserError

Value = TypeVar("Value")

_member: Member | None = None


def is_first() -> bool:
    """Whether this process is the one that writes and speaks for all."""
    return _member is None or _member.gang.process_id == 0


def num_processes() -> int:
    """Processes of this run."""
    return 1 if _member is None else _member.gang.num_processes


def agree(value: Value) -> Value:
    """Process 0's value, a JSON value, in every process: what a clock, a disk or a signal decides is decided once."""
    return value if _member is None else _member.say(value)


def barrier(name: str) -> None:
    """Wait until every process has come to this place."""
    if _member is not None:
        _member.wait(name)


def require_same(what: str, value: str) -> None:
    """Raise UserError in a process whose value is not that of process 0."""
    expected = agree(value)
    if expected != value:
        assert _member is not None
        process = _member.gang.process_id
        raise UserError(f"process {process}: {what} {value} differs from that of process 0, {expected}")


def stop_wanted(number: int | None) -> int | None:
    """The signal by which any of the processes was asked to stop, the same in all. number: this process's own."""
    if _member is None:
        return number
    if number is not None and not is_first():
        _member.tell_signal(number)
    agreed = _member.say(number if number is not None else _member.signal)
    if agreed is not None:
        _member.forget_signals()
    return agreed


@contextlib.contextmanager
def first_ahead(name: str) -> Iterator[None]:
    """Process 0 does the work first, and the others find on disk what it has kept there."""
    if not is_first():
        barrier(name)
    yield
    if is_first():
        barrier(name)


@contextlib.contextmanager
def first_alone(name: str) -> Iterator[bool]:
    """What process 0 does on its own devices while the others wait; yields whether this process does it."""
    global _member
    member = _member
    if is_first():
        _member = None
    try:
        yield member is None or member.gang.process_id == 0
    finally:
        _member = member
    barrier(name)


class TakingPart:
    """Context in which this process is one of its gang, from before the first device is touched; None: it is alone.

    When it ends with an error, the others stop as well, and the process exits at once: a usual end of the
    interpreter would wait for them. When another process is lost, this one exits with status 3
    (jaxrec.distributed.member). computing: their
    devices are devices of one run; otherwise the first does all the work, as if it were alone, and the others wait.
    """

    def __init__(self, gang: Gang | None, *, computing: bool = True) -> None:
        self._gang, self._computing = gang, computing
        self._member: Member | None = None

    def __enter__(self) -> bool:
        """Whether this process has a part in the work."""
        global _member
        if self._gang is None:
            return True
        self._member = Member(self._gang, _versions())
        if self._computing:
            _member = self._member
            _start_jax(self._gang)
        return self._computing or self._gang.process_id == 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        global _member
        member = self._member
        if member is None:
            return
        if error is None or isinstance(error, SystemExit):
            member.wait("end")
            member.end()
            _member = None
            if self._computing:
                import jax

                jax.distributed.shutdown()
        elif isinstance(error, UserError):
            line = " ".join(str(error).split())
            exit_with(2, f"jaxrec: error: {line}\n" if member.fail(line) else "")
        elif isinstance(error, KeyboardInterrupt):
            member.fail("it was interrupted")
            exit_with(130, "")
        else:
            said = " ".join(str(error).split())
            # A collective fails where another process died: that is the news, and the thread that hears it tells it.
            if type(error).__name__ == "JaxRuntimeError" and "RESOURCE_EXHAUSTED" not in said:
                member.sleep_if_lost()
            member.fail(f"{type(error).__name__}: {said[:200]}")
            exit_with(1, "".join(traceback.format_exception(kind, error, trace)))


def _versions() -> dict[str, str]:
    """Of what must be the same in all processes, or they would compile different programs."""
    found = {"python": platform.python_version()}
    for name in ("jaxrec", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # run from a source tree
            found[name] = importlib.metadata.version(name)
    return found


def _start_jax(gang: Gang) -> None:
    """Join the coordination service of JAX, once all processes are there. Its own time-outs come after ours."""
    # The service is asked through an address of this machine, which no proxy serves.
    unproxied = "no_grpc_proxy"  # gRPC reads it in small letters
    os.environ[unproxied] = ",".join(filter(None, (os.environ.get(unproxied), "127.0.0.1")))
    import jax

    jax.config.update("jax_check_proxy_envs", False)
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, which asks a run to save
    first = gang.process_id == 0
    here = "127.0.0.1" if loopback(gang.host) else "[::]"
    jax.distributed.initialize(
        coordinator_address=f"127.0.0.1:{gang.port}" if first else Relay(gang.host, gang.port).address,
        coordinator_bind_address=f"{here}:{gang.port}" if first else None,
        num_processes=gang.num_processes,
        process_id=gang.process_id,
        local_device_ids=gang.local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=int(gang.join_timeout),
        heartbeat_timeout_seconds=int(10 * gang.stop_timeout) + 60,
        shutdown_timeout_seconds=int(gang.stop_timeout),
    )
    jax.devices()  # the processes tell each other of their devices: all must be here
    if jax.default_backend() == "cpu":
        _keep_native_code_from_stdout()


def _keep_native_code_from_stdout() -> None:
    """What Python writes goes where it went; what native code writes goes nowhere.

    On CPUs that is Gloo, which announces each of its connections in the midst of a command's result.
    """
    found = sys.stdout
    if found is None or found is not sys.__stdout__:
        return
    found.flush()
    kept = {"encoding": found.encoding, "errors": found.errors, "line_buffering": found.line_buffering}
    sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(found.fileno()), "wb"), **kept)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), found.fileno())
