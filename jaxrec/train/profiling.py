"""A trace of some training steps, for whoever wants to know where the time of a step goes.

While steps are traced every call of the compiled loop does one step, so that the trace shows each of them. How steps
are divided into calls changes no number of a run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator

from jaxrec.errors import UserError

MAX_STEPS = 1000
FOLDER = "profile"
_ALLOWED = f"a number of steps such as 10, or FIRST:END such as 100:110, at most {MAX_STEPS} steps"


@dataclasses.dataclass(frozen=True)
class ProfiledSteps:
    """Steps [first, first + count) of training, counted from 0; first: None for those after a run's first call."""

    first: int | None
    count: int


def parse_profiled_steps(text: str) -> ProfiledSteps:
    """What `--profile` was given: "10" or "100:110" (the end is left out, as in Python). Raises UserError."""
    match = re.fullmatch(r"(?:(\d{1,12}):)?(\d{1,12})", text)
    if match is None:
        raise UserError(f"--profile: found {text!r}, allowed: {_ALLOWED}")
    first = None if match[1] is None else int(match[1])
    count = int(match[2]) - (first or 0)
    if not 1 <= count <= MAX_STEPS:
        raise UserError(f"--profile: found {text!r}, which is {count} steps, allowed: {_ALLOWED}")
    return ProfiledSteps(first, count)


class Profiler:
    """Writes the trace of the steps asked for into `profile/` of a run folder; without any it does nothing.

    Use as a context around training. Of several processes the first alone writes.
    """

    def __init__(
        self,
        folder: pathlib.Path | None = None,
        asked: ProfiledSteps | None = None,
        notice: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._folder, self._asked, self._notice = folder, asked, notice
        self._window: range | None = None
        self._done = self._tracing = False
        self._first_traced = self._next_step = 0

    def steps(self, step: int, steps: int) -> int:
        """How many of the next steps one call may do: it ends where the trace begins; inside, it does one."""
        if self._asked is None or self._done:
            return steps
        if self._window is None:
            # The first call of a run also allocates; nobody wants that in a profile.
            first = step + 1 if self._asked.first is None else self._asked.first
            self._window = range(first, first + self._asked.count)
        if step in self._window:
            return 1
        return min(steps, self._window.start - step) if step < self._window.start else steps

    @contextlib.contextmanager
    def around(self, step: int) -> Iterator[None]:
        """The call that begins with this step; it must have ended on the devices when the context does."""
        if self._window is None or step not in self._window or self._done:
            yield
            return
        import jax

        if not self._tracing:
            self._start(step)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            yield
        self._next_step = step + 1
        if self._next_step == self._window.stop:
            self._stop()

    def __enter__(self) -> Profiler:
        return self

    def __exit__(self, *_: object) -> None:
        if self._tracing:
            self._stop()
        elif self._asked is not None and not self._done:
            self._notice("nothing was profiled: training did not come to the steps of --profile")

    def _start(self, step: int) -> None:
        import jax

        self._tracing, self._first_traced = True, step
        if jax.process_index() == 0:
            options = jax.profiler.ProfileOptions()
            options.python_tracer_level = 0  # every Python call would be written down, and slow what is measured
            jax.profiler.start_trace(str(self._trace_folder), profiler_options=options)

    def _stop(self) -> None:
        import jax

        self._tracing, self._done = False, True
        if jax.process_index() != 0:
            return
        jax.profiler.stop_trace()
        from jaxrec.train.profile_summary import write_summary

        summary = write_summary(self._trace_folder)
        steps = f"steps {self._first_traced} to {self._next_step - 1}"
        self._notice(f"profile of {steps} in {self._trace_folder}; the longest operations are in {summary}")

    @property
    def _trace_folder(self) -> pathlib.Path:
        assert self._folder is not None
        return self._folder / FOLDER
