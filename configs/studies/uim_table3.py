"""Table III of UiM: profile, several interests and a simulated user, each with and without, on MovieLens-1M.

Paper: UiM (Xu et al., User Plays a Role), Table III, Beauty, hit@10 and ndcg@10: nothing 0.6689 and 0.4710 (which is
its row of MCLN), Profile 0.6702 and 0.4793, Multi 0.6839 and 0.4804, S-F 0.6895 and 0.4807, Profile + Multi 0.6972 and
0.4882, Profile + S-F 0.7103 and 0.4992, Multi + S-F 0.7024 and 0.4925, all 0.7166 and 0.5015. Other data and another
protocol: the question is theirs, the values do not compare.
Data, settings: those of configs/uim_ml1m_small.py, one seed. Without Multi there is one interest. The first row is UiM
without its parts, so not MCLN itself. S-F is a rule that prefers what is like the kinds of things chosen before; a
model plays the user with the flags below.
Command: python -m jaxrec.study configs/studies/uim_table3.py --data ml-1m=DIR
         a model as the user, for 100 users: … --refine.backend local --refine.local.checkpoint DIR
         --refine.simulated-user.user-limit 100
Hardware: two CPU cores.
Wall time: 4 runs, up to 10 min each on two quiet cores; four lists are refined by rules in a minute.
Result: docs/results/uim.md
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
AGENT = SimulatedUserConfig(agent="llm", top=10, things="movies", consumed="watched")
ROWS = ((), ("Profile",), ("Multi",), ("S-F",), ("Profile", "Multi"), ("Profile", "S-F"), ("Multi", "S-F"))


def get_study() -> Study:
    uim = load_config(CONFIGS / "uim_ml1m_small.py")

    def row(label: str, parts: tuple[str, ...], against: tuple[str, ...] = ()) -> Row:
        model = dataclasses.replace(
            uim.model, profile="Profile" in parts, num_interests=uim.model.num_interests if "Multi" in parts else 1
        )
        refined = AGENT if "S-F" in parts else None
        return Row(label, dataclasses.replace(uim, model=model), against, refined=refined)

    labels = {parts: " + ".join(parts) or "nothing" for parts in ROWS}
    return Study(
        name="uim_table3",
        title="UiM with and without its parts, MovieLens-1M",
        rows=(
            *(row(label, parts) for parts, label in labels.items()),
            row("Profile + Multi + S-F", ("Profile", "Multi", "S-F"), tuple(labels.values())),
        ),
        columns=(Column("MovieLens-1M"),),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10"),
        notes=("rows with S-F have the runs of those without it: the same lists, put in order by the agent",),
    )
