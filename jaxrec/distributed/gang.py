"""Which processes run together and which of them this one is: from flags, variables, or what a scheduler says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jaxrec.distributed.schedulers import from_scheduler
from jaxrec.errors import UserError

_SETTINGS = ("coordinator", "num_processes", "process_id", "local_devices", "join_timeout", "stop_timeout")


@dataclasses.dataclass(frozen=True)
class Gang:
    """host, port: of process 0; port + 1 is used too. local_devices: those of the machine that this process takes."""

    host: str
    port: int
    num_processes: int
    process_id: int
    local_devices: tuple[int, ...] | None = None
    join_timeout: float = 900.0
    """Seconds in which all processes must have come: machines of a large gang start minutes apart."""
    stop_timeout: float = 100.0
    """Seconds of silence after which a process counts as dead. One that dies with its connection is known at once."""


def find_gang(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[Gang | None, list[str]]:
    """The gang of this process, None where it is alone, and argv without the flags that say so.

    Flags (`--coordinator HOST:PORT --num-processes N --process-id I`, and `--local-devices 0,1`, `--join-timeout S`,
    `--stop-timeout S`) go before the variables of the same names (JAXREC_COORDINATOR, ...), and these before what
    SLURM, Open MPI, an indexed job of Kubernetes or a TPU pod says of itself. Raises UserError for one that is missing
    or has a wrong value.
    """
    flags, rest = _take_flags(argv)
    said = {name: environment[_variable(name)] for name in _SETTINGS if environment.get(_variable(name))}
    given = said | flags
    found = from_scheduler(environment) | given
    if not {"coordinator", "num_processes"} & given.keys() and int(found.get("num_processes", "1")) == 1:
        return None, rest
    for name in ("num_processes", "process_id", "coordinator"):
        if name not in found:
            raise UserError(f"{_flag(name)} (or {_variable(name)}): missing, and nothing here says it")
    count = _whole("num_processes", found, 1, 2**20)
    process_id = _whole("process_id", found, 0, count - 1)
    if count == 1:
        return None, rest
    host, _, port = found["coordinator"].rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) < 65535:
        raise UserError(
            f"{_flag('coordinator')}: found {found['coordinator']}, allowed: HOST:PORT, the port below 65535"
        )
    seconds = {name: _seconds(name, found[name]) for name in ("join_timeout", "stop_timeout") if name in found}
    devices = _devices(found["local_devices"]) if "local_devices" in found else None
    return Gang(host.strip("[]"), int(port), count, process_id, devices, **seconds), rest


def _take_flags(argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    by_flag = {_flag(name): name for name in _SETTINGS}
    flags: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in by_flag:
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise UserError(f"{flag}: no value")
        flags[by_flag[flag]] = value
    return flags, rest


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return f"JAXREC_{name.upper()}"


def _whole(name: str, found: Mapping[str, str], least: int, most: int) -> int:
    text = found[name]
    if not text.isdigit() or not least <= int(text) <= most:
        raise UserError(f"{_flag(name)}: found {text}, allowed: a whole number from {least} to {most}")
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds < 1e7:
        raise UserError(f"{_flag(name)}: found {text}, allowed: seconds from 1")
    return seconds


def _devices(text: str) -> tuple[int, ...]:
    if not all(part.isdigit() for part in text.split(",")):
        raise UserError(f"--local-devices: found {text}, allowed: numbers with commas between, such as 0,1")
    return tuple(int(part) for part in text.split(","))
