"""UiM against popularity, BPR-MF, VBPR, ComiRec and MCLN on MovieLens-1M: each user's last event among 100 items.

Paper: UiM (Xu et al., User Plays a Role), Table II, as a question; MCLN's own code ranks one target among 100 items, as
here. Another split and another protocol than those of uim_ml1m_small: the two tables do not compare.
Data, settings: those of configs/*_ml1m_small.py, but leave-one-out.
Command: python -m jaxrec.study configs/studies/uim_ml1m_small_sampled.py --data ml-1m=DIR
Hardware: two CPU cores.
Wall time: 12 runs, up to 7 min each on two cores; two at once, up to 10.
Result: docs/results/uim.md
"""

import dataclasses
import pathlib

from jaxrec.config import load_config
from jaxrec.models.popularity import PopularityConfig
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
ROWS = {"BPR-MF": "bprmf", "VBPR": "vbpr", "ComiRec": "comirec", "MCLN": "mcln", "UiM": "uim"}
THREE_SEEDS = ("BPR-MF", "ComiRec", "UiM")
"""UiM, the best of the others, and one that trains in half a minute."""


def get_study() -> Study:
    found = {label: load_config(CONFIGS / f"{name}_ml1m_small.py") for label, name in ROWS.items()}
    found = {
        label: dataclasses.replace(
            experiment,
            data=dataclasses.replace(experiment.data, split="leave_one_out"),
            eval=dataclasses.replace(experiment.eval, protocols=("sampled99",)),
        )
        for label, experiment in found.items()
    }
    popularity = dataclasses.replace(found["BPR-MF"], model=PopularityConfig())
    others = ("popularity", *(label for label in ROWS if label != "UiM"))
    return Study(
        name="uim_ml1m_small_sampled",
        title="UiM and others on MovieLens-1M, one target among 100 items",
        rows=(
            Row("popularity", popularity, num_seeds=1),
            *(
                Row(
                    label,
                    experiment,
                    others if label == "UiM" else (),
                    num_seeds=3 if label in THREE_SEEDS else 1,
                )
                for label, experiment in found.items()
            ),
        ),
        columns=(Column("MovieLens-1M"),),
        seeds=(0, 1, 2),
        metrics=("hit@10", "ndcg@10"),
        protocol="sampled99",
        notes=(
            "each model trains until validation stops it, for at most ten minutes on two quiet cores; the cheaper ones "
            "go through the data more often",
            "tests of UiM against a row with one seed are over that seed alone",
        ),
    )
