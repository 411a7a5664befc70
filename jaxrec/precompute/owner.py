"""Which process holds a lease or a reservation, and whether it still lives."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path


def new_owner() -> str:
    """A name for this process that no other has, now or later: host, boot, process, its start, and a random part."""
    pid = os.getpid()
    return "|".join((_machine(), str(pid), _started(pid) or "", uuid.uuid4().hex))


def is_dead(owner: str) -> bool:
    """Whether the process surely lives no more; False for those of other machines, of which nobody here can tell."""
    try:
        machine, pid, started, _ = owner.split("|")
        number = int(pid)
    except ValueError:
        return False
    if machine != _machine():
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # Process numbers come again; the time of the start tells two apart where the system says it.
    return bool(started) and _started(number) != started


def _machine() -> str:
    """Host name, boot and process namespace: process numbers mean something inside one of these alone."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        boot, namespace = "", ""
    return f"{socket.gethostname()}/{boot}/{namespace}".replace("|", "")


def _started(pid: int) -> str | None:
    """Clock ticks since boot at which a process started; None where it has ended or the system does not say.

    A killed process that its parent has not yet waited for (a zombie) has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
