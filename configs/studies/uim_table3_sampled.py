"""Table III of UiM without its last column, on MovieLens-1M: profile and several interests, one target among 100 items.

Paper: UiM (Xu et al., User Plays a Role), Table III, Beauty, hit@10 and ndcg@10: nothing 0.6689 and 0.4710, Profile
0.6702 and 0.4793, Multi 0.6839 and 0.4804, Profile + Multi 0.6972 and 0.4882. Other data: the values do not compare.
Data, settings: those of configs/studies/uim_ml1m_small_sampled.py, one seed. A simulated user puts lists of the whole
catalogue into order and has no row here; configs/studies/uim_table3.py has it.
Command: python -m jaxrec.study configs/studies/uim_table3_sampled.py --data ml-1m=DIR
Hardware: two CPU cores.
Wall time: 4 runs, one shared with uim_ml1m_small_sampled; 3 to 4 min each on one core.
Result: docs/results/uim.md
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
ROWS = ((), ("Profile",), ("Multi",))


def get_study() -> Study:
    small = load_config(CONFIGS / "uim_ml1m_small.py")
    uim = dataclasses.replace(
        small,
        data=dataclasses.replace(small.data, split="leave_one_out"),
        eval=dataclasses.replace(small.eval, protocols=("sampled99",)),
    )

    def row(label: str, parts: tuple[str, ...], against: tuple[str, ...] = ()) -> Row:
        num_interests = uim.model.num_interests if "Multi" in parts else 1
        model = dataclasses.replace(uim.model, profile="Profile" in parts, num_interests=num_interests)
        return Row(label, dataclasses.replace(uim, model=model), against)

    labels = {parts: " + ".join(parts) or "nothing" for parts in ROWS}
    return Study(
        name="uim_table3_sampled",
        title="UiM with and without its parts, MovieLens-1M, one target among 100 items",
        rows=(
            *(row(label, parts) for parts, label in labels.items()),
            row("Profile + Multi", ("Profile", "Multi"), tuple(labels.values())),
        ),
        columns=(Column("MovieLens-1M"),),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        protocol="sampled99",
    )
