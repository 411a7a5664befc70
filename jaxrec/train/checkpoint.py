"""Checkpoints: complete or not there at all, verified before they are believed.

A checkpoint is a folder `<step>` with Orbax arrays, `meta.json` and `files.json`, the size and checksum of every file.
It is written beside its place and renamed into it, so that a killed process leaves no half of one. Kept are the
last two and the best.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import pathlib
import shutil
import zlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxrec.distributed import agree, barrier, is_first, num_processes
from jaxrec.errors import UserError

SCHEMA = 1
_MARGIN = 2**20  # bytes for what lies beside the arrays


class DamagedCheckpointError(Exception):
    """A checkpoint that differs from what was written; the message names the file."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """State and meta data of one checkpoint, and what was wrong with newer ones."""

    state: Any
    meta: dict[str, Any]
    step: int
    damaged: tuple[str, ...] = ()


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder.absolute()

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def save(self, step: int, state: Any, meta: dict[str, Any], best_step: int | None) -> None:
        """Write one checkpoint, then drop those that are neither among the last two nor the best.

        Every process writes what it holds of the state; the first does the rest, in a folder that all of them see.
        """
        target = self.folder / str(step)
        if not agree(target.exists()):
            partial = self.folder / f"{step}.partial"
            try:
                if is_first():
                    shutil.rmtree(partial, ignore_errors=True)
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._require_space(state)
                barrier("a checkpoint begins")
                with _checkpointer() as checkpointer:
                    # Of several processes Orbax refuses arrays that lie on the devices of one; it takes NumPy's.
                    checkpointer.save(partial / "state", state if _together() else jax.device_get(state))
                    checkpointer.wait_until_finished()
                barrier("a checkpoint is written")
                if is_first():
                    (partial / "meta.json").write_text(json.dumps({"schema": SCHEMA, **meta}))
                    (partial / "files.json").write_text(json.dumps(_checksums(partial)))
                    partial.rename(target)
            except OSError as error:
                shutil.rmtree(partial, ignore_errors=True)
                raise UserError(f"{self.folder}: cannot write a checkpoint: {error.strerror or error}") from error
        if is_first():
            self._drop_others(step, best_step)
        barrier("a checkpoint is kept")

    def _drop_others(self, step: int, best_step: int | None) -> None:
        last = {*self.steps()[-2:], step}
        # The best that each of the last two knows of: the newest may turn out damaged.
        kept = last | {best_step} | {self._best_step_of(kept_step) for kept_step in last}
        for old in self.steps():
            if old not in kept:
                shutil.rmtree(self.folder / str(old), ignore_errors=True)
        for leftover in self.folder.glob("*.partial"):  # of a process that was killed while it saved
            shutil.rmtree(leftover, ignore_errors=True)

    def _best_step_of(self, step: int) -> int | None:
        try:
            return json.loads((self.folder / str(step) / "meta.json").read_text())["stopping"]["best_step"]
        except (OSError, ValueError, KeyError):  # damaged; restoring will say so
            return None

    def _require_space(self, state: Any) -> None:
        """Refuse to begin what the disk cannot hold: Orbax would fail half way, in threads of its own."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _MARGIN
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OSError(
                errno.ENOSPC, f"the disk is full: {needed / 2**20:.1f} MiB needed, {free / 2**20:.1f} MiB free"
            )

    def restore_latest(self, abstract: Any) -> Restored | None:
        """Newest checkpoint that is whole, or None where there is none.

        abstract: tree of jax.ShapeDtypeStruct with the shardings of the current mesh, which may differ from the
        one that wrote the checkpoint.
        """
        damaged: list[str] = []
        for step in reversed(agree(self.steps())):
            try:
                restored = self.restore(step, abstract)
            except DamagedCheckpointError as error:
                damaged.append(str(error))
                continue
            return dataclasses.replace(restored, damaged=tuple(damaged))
        if damaged:
            raise UserError(
                f"{self.folder}: no checkpoint is whole ({'; '.join(damaged)}); remove the folder to start anew"
            )
        return None

    def restore(self, step: int, abstract: Any) -> Restored:
        """The checkpoint of one step, as written.

        A table may have more rows than asked for, or fewer: those behind its last real one, which follow from how many
        devices there are (jaxrec.nn.partition_rules.pad_rows), are cut off, or added as zeros.
        """
        folder = self.folder / str(step)
        self.verify(step)
        with _checkpointer() as checkpointer:
            _require_widths(checkpointer.metadata(folder / "state").item_metadata, abstract, step)
            state = checkpointer.restore(folder / "state", abstract, strict=False)
        # Restored arrays may share host memory with the reader; a copy of their own is safe to donate.
        state = jax.tree.map(lambda leaf: leaf.copy(), state)
        return Restored(state, self._meta(step), step)

    def meta(self, step: int) -> dict[str, Any]:
        """Meta data of one checkpoint."""
        self.verify(step)
        return self._meta(step)

    def _meta(self, step: int) -> dict[str, Any]:
        return agree(json.loads((self.folder / str(step) / "meta.json").read_text()) if is_first() else {})

    def verify(self, step: int) -> None:
        """Raise DamagedCheckpointError, naming the file, unless every file is as it was written."""
        damage = agree(_damage(self.folder / str(step)) if is_first() else None)
        if damage is not None:
            raise DamagedCheckpointError(f"checkpoint {step}: {damage}")

    def discard_after(self, step: int) -> None:
        """Remove checkpoints newer than a step (the damaged ones that a resume passed over)."""
        if is_first():
            for newer in self.steps():
                if newer > step:
                    shutil.rmtree(self.folder / str(newer), ignore_errors=True)
        barrier("newer checkpoints are gone")


def _require_widths(written: Any, abstract: Any, step: int) -> None:
    """Raise ValueError where arrays of a checkpoint differ from those asked for in more than their number of rows."""
    found: dict[str, Any] = {name: np.shape(leaf) for name, leaf in _named(written)}
    for name, leaf in _named(abstract):
        shape = found.get(name, leaf.shape)
        if len(shape) != len(leaf.shape) or shape[1:] != leaf.shape[1:]:
            raise ValueError(f"checkpoint {step}: {name} is of shape {shape}, not {leaf.shape}")


def _named(tree: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def _together() -> bool:
    """Whether all processes take part, or the first works alone (jaxrec.distributed.first_alone)."""
    return num_processes() == jax.process_count()


def _checkpointer() -> ocp.StandardCheckpointer:
    """Of the processes that take part."""
    if _together():
        return ocp.StandardCheckpointer()
    alone = ocp.options.MultiprocessingOptions(active_processes={0}, barrier_sync_key_prefix="first")
    return ocp.StandardCheckpointer(multiprocessing_options=alone)


def _damage(folder: pathlib.Path) -> str | None:
    """What differs from what was written, if anything."""
    try:
        written = json.loads((folder / "files.json").read_text())
        found = _checksums(folder)
    except (OSError, ValueError) as error:
        return f"files.json cannot be read ({error})"
    for name, expected in written.items():
        if found.get(name) != expected:
            return f"{name} {'is missing' if name not in found else 'differs from what was written'}"
    return None


def _checksums(folder: pathlib.Path) -> dict[str, list[int]]:
    """Size and CRC-32 of every file below a folder but files.json itself."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "files.json":
            data = path.read_bytes()
            sums[path.relative_to(folder).as_posix()] = [len(data), zlib.crc32(data)]
    return sums
