"""`python -m jaxrec.precompute --config FILE [--plan] [--flag value …]`: what language models make, before training.

Each step's output goes into a folder of its own; the command says where, and how a run uses it. The same command goes
on where it was stopped: what was answered is kept and not asked again.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console

from jaxrec.command_line import OK, run_command
from jaxrec.config.fields import leaves
from jaxrec.config.flags import override
from jaxrec.config.load import PRECOMPUTE, config_files, load_config, load_from
from jaxrec.errors import UserError
from jaxrec.precompute.config import PrecomputeConfig
from jaxrec.precompute.registry import STEPS, steps_in_order

PROGRAM = "python -m jaxrec.precompute --config FILE [--plan]"
HELP = """\
usage: {program} [--flag value ...]

Make what language models make, before training: each step's output in a folder of its own.

  --config FILE    Python file with get_config() -> PrecomputeConfig
  --plan           say what would be asked (requests, tokens, cost, time), and ask nothing
  --help           this text; with --config, every flag of that config

Every field of the config is a flag, such as --backend rules, --steps motivations or --data.path DIR.
Steps: {steps}
Configs here: {configs}
"""


class _Arguments(NamedTuple):
    config_path: pathlib.Path
    plan: bool
    rest: list[str]


def main(argv: list[str]) -> int:
    """Plan or run the steps of one config; the exit status."""
    arguments = _split(argv)
    config = override(load_precompute(arguments.config_path), arguments.rest, PROGRAM)
    config.validate()
    steps = steps_in_order(config.steps, config)

    from jaxrec.data.prepared import load_dataset
    from jaxrec.precompute.answering import Answering
    from jaxrec.precompute.display import Display, print_plan
    from jaxrec.precompute.stage import Stage

    display = Display(Console(stderr=True, highlight=False))
    dataset = load_dataset(config.data, display.notice)
    if dataset.source == "sample":
        display.notice("no data was given: this is the built-in sample, synthetic users and items")
    rules = {name: rule for step in steps for name, rule in step.rules.items()}
    with Answering(config, rules) as answering:
        stage = Stage(config, dataset, steps, answering, display)
        console = Console(highlight=False)
        if arguments.plan:
            print_plan(console, stage.plan())
            return OK
        for output in stage.run():
            _print_output(console, config, output)
    return OK


def load_precompute(path: pathlib.Path) -> PrecomputeConfig:
    """What the `get_config()` of a Python file gives, named after the file. Raises UserError as `load_config` does."""
    config = load_from(path, "get_config", PrecomputeConfig)
    return dataclasses.replace(config, name=path.stem.removeprefix(PRECOMPUTE))


def _print_output(console: Console, config: PrecomputeConfig, output) -> None:
    """Where a step's output lies, what it holds, and what can be done with it."""
    manifest = output.manifest

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    made = "made before" if output.reused else "made"
    say(f"{output.step}, {made} by {manifest['model']}: {output.folder}")
    for kind, counts in manifest["rows"].items():
        share = f"{100 * counts['missing_share']:.1f} % missing"
        say(f"  {counts['present']:,} of {counts['rows']:,} {kind}s, {share}")
    if not manifest["complete"]:
        say("  not whole: some requests failed or were stopped; the same command asks those again")
    if manifest.get("launch_flag"):
        say(f"  to train on it: {_launch_command(config, manifest['launch_flag'], output.folder)}")


def _launch_command(config: PrecomputeConfig, flag: str, folder: pathlib.Path) -> str:
    """The run's command, with the flags of the data where its config says something else."""
    words = ["python", "-m", "jaxrec.launch", "--config", config.launch_config]
    path = pathlib.Path(config.launch_config)
    if path.is_file():
        theirs = {leaf.name: leaf.value for leaf in leaves(load_config(path).data)}
        for leaf in leaves(config.data):
            # Reviews are in the output already.
            if leaf.name != "reviews" and leaf.value != theirs[leaf.name]:
                words += _flag(f"data.{leaf.name}", leaf.value)
    return shlex.join([*words, flag, str(folder)])


def _flag(name: str, value: object) -> list[str]:
    name = name.replace("_", "-")
    if isinstance(value, bool):
        parent, dot, last = name.rpartition(".")
        return [f"--{name}" if value else f"--{parent}{dot}no-{last}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}", *(str(one) for one in values)]


def _split(argv: Sequence[str]) -> _Arguments:
    """Take `--config FILE` (or `--config=FILE`) and `--plan` out of argv, wherever they stand."""
    found: str | None = None
    plan, rest, words = False, [], iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--plan":
            plan = True
        elif flag == "--config":
            value = value if equals else next(words, "")
            if not value or value.startswith("--"):
                raise UserError("--config: no value, allowed: a file")
            if found is not None:
                raise UserError(f"--config: given twice, {found} and {value}")
            found = value
        else:
            rest.append(word)
    shipped = ", ".join(config_files(precompute=True))
    if found is None:
        if any(word in ("-h", "--help") for word in rest):
            text = HELP.format(program=PROGRAM, steps=", ".join(STEPS), configs=shipped or "none in ./configs")
            sys.stdout.write(text)
            raise SystemExit(OK)
        raise UserError(f"--config FILE is missing; configs here: {shipped or 'none in ./configs'}")
    return _Arguments(pathlib.Path(found), plan, rest)


if __name__ == "__main__":
    sys.exit(run_command(main, among_others="first"))
