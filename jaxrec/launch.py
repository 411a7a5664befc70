"""The main command: `python -m jaxrec.launch --config FILE [--workdir DIR] [--profile STEPS] [--flag value …]`.

Config in, trained and evaluated run out. A run folder of the same config is resumed; a finished one is printed.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from rich.console import Console

from jaxrec.command_line import run_command, split_launch_arguments
from jaxrec.config import Experiment, load_config, override, validate
from jaxrec.distributed import agree, barrier, first_ahead, is_first, num_processes, require_same
from jaxrec.errors import UserError
from jaxrec.train.profiling import ProfiledSteps, parse_profiled_steps


def main(argv: list[str]) -> int:
    """Run one experiment; the exit status."""
    config_path, workdir, rest, asked = split_launch_arguments(argv)
    profile = None if asked is None else parse_profiled_steps(asked)
    experiment = override(load_config(config_path), rest)
    validate(experiment)
    if experiment.seeds > 1 and num_processes() > 1:
        raise UserError(f"seeds: found {experiment.seeds}, allowed: 1 with {num_processes()} processes")
    if profile is not None and experiment.seeds > 1:
        raise UserError(f"--profile: found beside seeds {experiment.seeds}, allowed: with one seed")
    if profile is not None and not experiment.model.trains:
        raise UserError(f"--profile: found the model {experiment.model.name}, allowed: one that trains")
    console = Console(stderr=True, highlight=False, quiet=not is_first())

    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()

    from jaxrec.assembly import absolute_paths
    from jaxrec.multi_seed import print_seeds_result
    from jaxrec.rankings import reads_rankings, with_rankings
    from jaxrec.report import print_result

    experiment = absolute_paths(experiment)
    if reads_rankings(experiment.model):
        if experiment.model.rankings is None:
            experiment = _with_what_it_stands_on(experiment, config_path, console)
        else:
            experiment = with_rankings(experiment, pathlib.Path(experiment.model.rankings))
    folder, result = _run(experiment, pathlib.Path("runs"), workdir, console, profile)
    show = print_seeds_result if "seeds" in result else print_result
    show(Console(highlight=False, quiet=not is_first()), result, folder)
    return 0


def _run(
    experiment: Experiment[Any],
    parent: pathlib.Path,
    workdir: pathlib.Path | None,
    console: Console,
    profile: ProfiledSteps | None = None,
) -> tuple[pathlib.Path, dict[str, Any]]:
    """The folder of a finished run, and its result: made now, or found. workdir: None for a new one in the parent."""
    from jaxrec.assembly import absolute_paths, assemble
    from jaxrec.report import print_banner
    from jaxrec.run_folder import claim, read_json
    from jaxrec.train.mesh import require_all_devices

    def notice(message: str) -> None:
        console.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    with first_ahead("data"):
        assembly = assemble(absolute_paths(experiment), notice)
    require_same("its data or settings, of hash", assembly.hash)
    require_all_devices(assembly.mesh)
    folder = pathlib.Path(workdir) if workdir else parent / f"{experiment.name}-{assembly.hash}"
    with claim(folder, assembly.experiment, assembly.hash):
        result_path = folder / "result.json"
        if agree(result_path.is_file()):
            notice(f"{folder} holds this run, finished{', so nothing is profiled' if profile else ''}")
            return folder, read_json(result_path)
        print_banner(console, assembly, folder)
        return folder, execute(assembly, folder, console, notice, profile)


def _with_what_it_stands_on(
    experiment: Experiment[Any], config_path: pathlib.Path, console: Console
) -> Experiment[Any]:
    """The experiment with its lists, which a retriever and a language model make first."""
    from jaxrec.precompute.display import Display
    from jaxrec.ranker.prepare import prepare

    def train(retriever: Experiment[Any], parent: pathlib.Path) -> pathlib.Path:
        return _run(retriever, parent, None, console)[0]

    return prepare(experiment, config_path.parent, train, Display(console))


def execute(
    assembly: Any, folder: pathlib.Path, console: Console, notice: Any, profile: ProfiledSteps | None = None
) -> dict[str, Any]:
    """Train (or resume), evaluate once on the test part, and write what a run folder holds."""
    from jaxrec.eval.protocols import make_ranking
    from jaxrec.multi_seed import execute_seeds
    from jaxrec.run_folder import write_environment, write_json
    from jaxrec.train.mesh import describe_devices
    from jaxrec.train.signals import StoppedBySignalError
    from jaxrec.training import make_trainer, untrained

    experiment, dataset = assembly.experiment, assembly.dataset
    if is_first():
        write_environment(folder, describe_devices(assembly.mesh))
        write_json(folder / "data.json", dataset.provenance)
    main = experiment.eval.protocols[0]
    valid = make_ranking(main, dataset, "valid", experiment.eval, assembly.mesh)
    try:
        if experiment.seeds > 1:
            return execute_seeds(assembly, folder, valid, console, notice, finish)
        trains = experiment.model.trains
        trained = make_trainer(assembly, folder, valid, console, notice, profile).run() if trains else untrained()
    except StoppedBySignalError as stopped:
        notice(f"{stopped}, saved in {folder}; the same command goes on from there")
        raise SystemExit(stopped.exit_code) from None
    return finish(assembly, trained, folder, valid, notice)


def finish(assembly: Any, trained: Any, folder: pathlib.Path, valid: Any, notice: Any) -> dict[str, Any]:
    """Rank the test part, once, with what training found, and write what a finished run's folder holds."""
    import time

    from jaxrec.protocols import rank_protocols
    from jaxrec.result import make_result
    from jaxrec.run_folder import write_json

    experiment, dataset = assembly.experiment, assembly.dataset
    started = time.monotonic()
    notice(f"ranking the test part, once ({', '.join(experiment.eval.protocols)})")
    ranked = rank_protocols(assembly, trained.params, valid)
    result = make_result(assembly, trained, ranked)
    result["seconds"]["eval"] = round(result["seconds"]["eval"] + time.monotonic() - started, 3)
    if is_first():
        _write_ranked(folder, ranked, dataset)
        write_json(folder / "result.json", result)
    barrier("the result")
    return result


def _write_ranked(folder: pathlib.Path, ranked: Any, dataset: Any) -> None:
    """What every protocol leaves beside the result."""
    from jaxrec.eval.artifacts import per_user_name, save_candidates, save_per_user, save_topk
    from jaxrec.eval.sampled_ranking import SampledRanking

    evaluations = {}
    for protocol, one in ranked.items():
        evaluations |= {per_user_name(protocol, "valid"): one.valid, per_user_name(protocol, "test"): one.test}
        if one.test.topk_items is not None:
            save_topk(folder, one.test, dataset)
        parts = zip(("valid", "test"), one.rankings, strict=True)
        drawn = {part: ranking.candidates for part, ranking in parts if isinstance(ranking, SampledRanking)}
        if drawn:
            save_candidates(folder, drawn, dataset)
    save_per_user(folder, evaluations, dataset)


__all__ = ["Experiment", "UserError", "execute", "main"]

if __name__ == "__main__":
    sys.exit(run_command(main, among_others="all"))
