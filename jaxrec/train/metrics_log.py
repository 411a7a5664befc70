"""metrics.jsonl, one object a line, and TensorBoard where it is asked for."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from jaxrec.errors import UserError


class MetricsLog:
    """Appends to `metrics.jsonl` of a run folder; a resumed run drops the lines after its checkpoint."""

    def __init__(self, folder: pathlib.Path, *, resume_step: int = 0, tensorboard: bool = False) -> None:
        self.path = folder / "metrics.jsonl"
        self._tensorboard = _tensorboard_writer(folder) if tensorboard else None
        kept = [line for line in read_metrics(self.path) if line["step"] <= resume_step] if resume_step else []
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(line) + "\n" for line in kept))
        partial.replace(self.path)

    def write(self, *, step: int, epoch: int, split: str, metrics: dict[str, float], seconds: float) -> None:
        """Append one line and hand it to the operating system at once."""
        line = {
            "step": step,
            "epoch": epoch,
            "split": split,
            "metrics": {name: float(value) for name, value in metrics.items()},
            "seconds": round(seconds, 3),
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._tensorboard is not None:
            for name, value in metrics.items():
                self._tensorboard.add_scalar(f"{split}/{name}", float(value), step)
            self._tensorboard.flush()

    def close(self) -> None:
        """Close the TensorBoard writer, if any."""
        if self._tensorboard is not None:
            self._tensorboard.close()


class NoLog(MetricsLog):
    """The log of a process that is not the first: it writes nothing."""

    def __init__(self) -> None:
        self._tensorboard = None

    def write(self, *, step: int, epoch: int, split: str, metrics: dict[str, float], seconds: float) -> None:
        """Nothing."""


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last line that a killed process left unfinished is dropped."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _tensorboard_writer(folder: pathlib.Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise UserError("train.tensorboard: tensorboardX is not installed; pip install 'jaxrec[track]'") from error
    return SummaryWriter(str(folder / "tensorboard"))
