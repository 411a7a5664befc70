"""`python -m jaxrec.export_items --run RUN --out FOLDER`: a trained model's item vectors as features of another one.

`features.paths` of an experiment on the same data and split takes the folder, such as `backbone=FOLDER` (UiM).
"""

from __future__ import annotations

import pathlib
import sys

from rich.console import Console

from jaxrec.arguments import Arguments
from jaxrec.command_line import OK, run_command


def main(argv: list[str]) -> int:
    """Write the folder; the exit status."""
    arguments = _parser().parse(argv)
    console = Console(stderr=True, highlight=False)

    from jaxrec.assembly import load_run
    from jaxrec.serve.item_vectors import export_item_vectors
    from jaxrec.train.compilation_cache import enable_compilation_cache

    enable_compilation_cache()

    def notice(message: str) -> None:
        console.print(f"jaxrec: {message}", soft_wrap=True, markup=False)

    run = load_run(arguments.run, notice)
    written = export_item_vectors(run, arguments.out)
    notice(f"{written['items']:,} item vectors of {written['dim']} numbers in {arguments.out}")
    if written["bias"]:
        notice("the model also has a bias for each item, which no vector holds and which is left out")
    return OK


def _parser() -> Arguments:
    parser = Arguments("jaxrec.export_items", "A trained model's item vectors, for features.paths of another model.")
    parser.add_argument("--run", required=True, metavar="RUN", type=pathlib.Path, help="run folder")
    parser.add_argument("--out", required=True, metavar="FOLDER", type=pathlib.Path, help="new folder to write")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main, among_others="first"))
