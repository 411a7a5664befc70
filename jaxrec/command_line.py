"""What every command shares: its launch arguments, its exit status, and how a mistake is told to the user."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jaxrec.config.load import config_files
from jaxrec.errors import UserError

OK, BUG, USER_ERROR, INTERRUPTED = 0, 1, 2, 130

LAUNCH_HELP = """\
usage: python -m jaxrec.launch --config FILE [--workdir DIR] [--flag value ...]

Train and evaluate one experiment.

  --config FILE    Python file with get_config() -> Experiment, or the config.json of a run
  --workdir DIR    run folder; runs/<config name>-<hash> by default. A folder that holds a run of the same
                   experiment resumes it; a finished one prints its result.
  --help           this text; with --config, every flag of that experiment

Every field of the experiment is a flag, such as --model.dim 64 or --data.path DIR.
Configs here: {configs}
"""


class LaunchArguments(NamedTuple):
    """The config file, the work directory (None: chosen from name and hash), and the experiment's own flags."""

    config_path: pathlib.Path
    workdir: pathlib.Path | None
    rest: list[str]


def split_launch_arguments(argv: Sequence[str]) -> LaunchArguments:
    """Take `--config FILE` and `--workdir DIR` (or `--config=FILE`) out of argv, wherever they stand.

    `--help` without a config prints the help and raises SystemExit(0). Raises UserError where the config is
    missing, either is given twice, or has no value.
    """
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in ("--config", "--workdir"):
            rest.append(word)
            continue
        if not equals:
            value = next(words, "")
        if not value or value.startswith("--"):
            raise UserError(f"{flag}: no value, allowed: a {'file' if flag == '--config' else 'folder'}")
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
    return LaunchArguments(
        pathlib.Path(found["--config"]), pathlib.Path(workdir) if workdir is not None else None, rest
    )


def run_command(main: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: a UserError is one line on stderr and 2, Ctrl-C is 130.

    argv: sys.argv[1:] by default. Any other exception passes: a bug shows its traceback and exits with 1.
    """
    try:
        return main(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        sys.stderr.write(f"jaxrec: error: {' '.join(str(error).split())}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (head, say) has seen enough; closing keeps Python from complaining at exit.
        sys.stderr.close()
        return OK
