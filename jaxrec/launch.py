"""The main command: `python -m jaxrec.launch --config FILE [--workdir DIR] [--flag value …]`.

Config in, trained and evaluated run out. A run folder of the same config is resumed; a finished one is printed.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from rich.console import Console

from jaxrec.command_line import run_command, split_launch_arguments
from jaxrec.config import Experiment, load_config, override, validate
from jaxrec.errors import UserError


def main(argv: list[str]) -> int:
    """Run one experiment; the exit status."""
    config_path, workdir, rest = split_launch_arguments(argv)
    experiment = override(load_config(config_path), rest)
    validate(experiment)
    console = Console(stderr=True, highlight=False)

    from jaxrec.train.compilation_cache import enable_compilation_cache
    from jaxrec.train.mesh import start_distributed

    start_distributed()
    enable_compilation_cache()

    from jaxrec.assembly import absolute_paths, assemble
    from jaxrec.report import print_banner, print_result
    from jaxrec.run_folder import claim, read_json

    def notice(message: str) -> None:
        console.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    assembly = assemble(absolute_paths(experiment), notice)
    folder = pathlib.Path(workdir) if workdir else pathlib.Path("runs") / f"{experiment.name}-{assembly.hash}"
    with claim(folder, assembly.experiment, assembly.hash):
        result_path = folder / "result.json"
        if result_path.is_file():
            notice(f"{folder} holds this run, finished; its result:")
            result = read_json(result_path)
        else:
            print_banner(console, assembly, folder)
            result = execute(assembly, folder, console, notice)
    print_result(Console(highlight=False), result, folder)
    return 0


def execute(assembly: Any, folder: pathlib.Path, console: Console, notice: Any) -> dict[str, Any]:
    """Train (or resume), evaluate once on the test part, and write what a run folder holds."""
    import time

    from jaxrec.eval.artifacts import save_per_user, save_topk
    from jaxrec.eval.ranking import FullRanking
    from jaxrec.result import make_result
    from jaxrec.run_folder import write_environment, write_json
    from jaxrec.train.mesh import describe_devices
    from jaxrec.train.signals import StoppedBySignalError
    from jaxrec.training import make_trainer

    experiment, dataset = assembly.experiment, assembly.dataset
    write_environment(folder, describe_devices(assembly.mesh))
    write_json(folder / "data.json", dataset.provenance)
    valid = FullRanking(dataset, "valid", experiment.eval, assembly.mesh)
    if experiment.model.trains:
        trainer = make_trainer(assembly, folder, valid, console, notice)
        try:
            trained = trainer.run()
        except StoppedBySignalError as stopped:
            notice(f"{stopped}, saved in {folder}; the same command goes on from there")
            raise SystemExit(stopped.exit_code) from None
    else:
        from jaxrec.training import untrained

        trained = untrained()
    started = time.monotonic()
    notice("ranking the whole catalogue for the test part, once")
    valid_evaluation = valid.evaluate(assembly.model, trained.params, assembly.ctx)
    test = FullRanking(dataset, "test", experiment.eval, assembly.mesh)
    test_evaluation = test.evaluate(assembly.model, trained.params, assembly.ctx, lists=True)
    result = make_result(assembly, trained, valid_evaluation, test_evaluation)
    result["seconds"]["eval"] = round(result["seconds"]["eval"] + time.monotonic() - started, 3)
    save_topk(folder, test_evaluation, dataset)
    save_per_user(folder, {"valid": valid_evaluation, "test": test_evaluation}, dataset)
    write_json(folder / "result.json", result)
    return result


__all__ = ["Experiment", "UserError", "execute", "main"]

if __name__ == "__main__":
    sys.exit(run_command(main))
