"""What every command shares: its launch arguments, its exit status, and how a mistake is told to the user."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from jaxrec.compiler_flags import set_compiler_flags
from jaxrec.config.load import config_files
from jaxrec.distributed import TakingPart, find_gang
from jaxrec.errors import UserError

OK, BUG, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

LAUNCH_HELP = """\
usage: python -m jaxrec.launch --config FILE [--workdir DIR] [--profile STEPS] [--flag value ...]

Train and evaluate one experiment.

  --config FILE    Python file with get_config() -> Experiment, or the config.json of a run
  --workdir DIR    run folder; runs/<config name>-<hash> by default. A folder that holds a run of the same
                   experiment resumes it; a finished one prints its result.
  --profile STEPS  trace these training steps into the run folder: 100:110, or 10 for the first ten
  --coordinator HOST:PORT --num-processes N --process-id I
                   this process is one of several; a scheduler may say it (docs/launching.md)
  --help           this text; with --config, every flag of that experiment

Every field of the experiment is a flag, such as --model.dim 64 or --data.path DIR.
Configs here: {configs}
"""


class LaunchArguments(NamedTuple):
    """The config file, the work directory (None: chosen from name and hash), the experiment's own flags, and the
    training steps to trace, as they were given."""

    config_path: pathlib.Path
    workdir: pathlib.Path | None
    rest: list[str]
    profile: str | None = None


_VALUES = {"--config": "file", "--workdir": "folder", "--profile": "number of steps or FIRST:END"}


def split_launch_arguments(argv: Sequence[str]) -> LaunchArguments:
    """Take `--config FILE` (or `--config=FILE`), `--workdir DIR`, `--profile STEPS` out of argv, wherever they stand.

    `--help` without a config prints the help and raises SystemExit(0). Raises UserError where the config is
    missing, one is given twice, or has no value.
    """
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in _VALUES:
            rest.append(word)
            continue
        if not equals:
            value = next(words, "")
        if not value or value.startswith("--"):
            raise UserError(f"{flag}: no value, allowed: a {_VALUES[flag]}")
        if flag in found:
            raise UserError(f"{flag}: given twice, {found[flag]} and {value}")
        found[flag] = value
    shipped = ", ".join(config_files()) or "none in ./configs"
    if "--config" not in found:
        if any(word in ("-h", "--help") for word in rest):
            sys.stdout.write(LAUNCH_HELP.format(configs=shipped))
            raise SystemExit(OK)
        raise UserError(f"--config FILE is missing; configs here: {shipped}")
    workdir = found.get("--workdir")
    folder = pathlib.Path(workdir) if workdir is not None else None
    return LaunchArguments(pathlib.Path(found["--config"]), folder, rest, found.get("--profile"))


def run_command(
    main: Callable[[list[str]], int],
    argv: Sequence[str] | None = None,
    among_others: Literal["alone", "first", "all"] = "alone",
) -> int:
    """Run a command and return its exit status: a UserError is one line on stderr and 2, Ctrl-C is 130.

    argv: sys.argv[1:] by default. Any other exception passes: a bug shows its traceback and exits with 1.
    among_others: what it does as one of several processes (jaxrec.distributed): nothing of that kind; all of the work
    in the first while the others wait; or its part in each. One that stops because another is lost exits with 3.
    """
    set_compiler_flags()
    try:
        words = list(sys.argv[1:] if argv is None else argv)
        if among_others == "alone":
            return main(words)
        gang, words = find_gang(words, os.environ)
        with TakingPart(gang, computing=among_others == "all") as working:
            return main(words) if working else OK
    except UserError as error:
        sys.stderr.write(f"jaxrec: error: {' '.join(str(error).split())}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (head, say) has seen enough; closing keeps Python from complaining at exit.
        sys.stderr.close()
        return OK
