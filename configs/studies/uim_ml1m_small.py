"""UiM against popularity, BPR-MF, VBPR, ComiRec and MCLN on MovieLens-1M: each user's last tenth among all items.

Paper: UiM (Xu et al., User Plays a Role), Table II, MovieLens, as a question: hit@10 and ndcg@10 of BPRMF 0.1639 and
0.1369, ComiRec 0.1892 and 0.1488, VBPR 0.1898 and 0.1655, MCLN 0.2311 and 0.2025, UiM 0.2532 and 0.2208. Its protocol
is not this one, so its values do not compare.
Data, settings: those of configs/*_ml1m_small.py; several targets a user, no simulated user.
Command: python -m jaxrec.study configs/studies/uim_ml1m_small.py --data ml-1m=DIR
Hardware: two CPU cores.
Wall time: 12 runs, up to 10 min each on two quiet cores.
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
    popularity = dataclasses.replace(found["BPR-MF"], model=PopularityConfig())
    others = ("popularity", *(label for label in ROWS if label != "UiM"))
    return Study(
        name="uim_ml1m_small",
        title="UiM and others on MovieLens-1M, several targets a user",
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
        metrics=("hit@10", "ndcg@10", "hit@50", "ndcg@50"),
        protocol="full",
        notes=(
            "each model trains until validation stops it, for at most ten minutes on two quiet cores; the cheaper ones "
            "go through the data more often",
            "tests of UiM against a row with one seed are over that seed alone",
        ),
    )
