"""Who may play the user: nobody, chance, a rule and the truth under noise, on the built-in sample.

Paper: UiM (Xu et al., User Plays a Role), section III-D, as a question. Nobody must change nothing, chance must hurt,
and the truth, which is a simulation, says how much a good agent could do.
Data, settings: those of configs/uim_sample.py; all rows share one run for each seed.
Command: python -m jaxrec.study configs/studies/uim_agents_sample.py
Hardware: two CPU cores.
Wall time: 3 runs, up to 3 min each on two quiet cores, and a minute for the agents.
Result: docs/results/uim.md
"""

import pathlib
from typing import Any

from jaxrec.config import load_config
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
AGENTS: dict[str, Any] = {"nobody": "identity", "chance": "random", "rule": "llm", "truth under noise": "oracle"}


def get_study() -> Study:
    uim = load_config(CONFIGS / "uim_sample.py")
    return Study(
        name="uim_agents_sample",
        title="UiM under simulated users, built-in sample",
        rows=(
            Row("UiM", uim),
            *(
                Row(label, uim, ("UiM",), refined=SimulatedUserConfig(agent=agent, top=10))
                for label, agent in AGENTS.items()
            ),
        ),
        columns=(Column("sample"),),
        seeds=(0, 1, 2),
        metrics=("hit@10", "ndcg@10"),
    )
