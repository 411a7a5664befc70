"""Table IV of UiM: what the simulated user is asked, on MovieLens-1M.

Paper: UiM (Xu et al., User Plays a Role), Table IV, hit@10, ndcg@10, hit@20 and ndcg@20: without the user 0.2419,
0.2098, 0.2977, 0.2789; prompt a 0.2532, 0.2208, 0.3079, 0.2893; prompt b 0.2472, 0.2149, 0.3032, 0.2802. Its text
argues that b is the better one. Another protocol: the values do not compare.
Data, settings: those of configs/uim_ml1m_small.py, one seed. The user is shown the top 40 and keeps 20, of which the
first 10 count for hit@10.
Command: python -m jaxrec.study configs/studies/uim_prompts.py --data ml-1m=DIR --refine.backend local
         --refine.local.checkpoint DIR --refine.simulated-user.user-limit 100
         Without these flags a rule answers, which reads no prompt: a and b are then the same row.
Hardware: two CPU cores.
Wall time: 1 run, up to 10 min on two quiet cores, and what the model takes.
Result: docs/results/uim.md
"""

import pathlib
from typing import Any

from jaxrec.config import load_config
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig
from jaxrec.studies import Column, Row, Study

CONFIGS = pathlib.Path(__file__).resolve().parents[1]
PROMPTS: dict[str, Any] = {
    "rank them": "rank",
    "prompt a: accept as a whole": "accept_overall",
    "prompt b: accept item by item": "accept_each",
}


def get_study() -> Study:
    uim = load_config(CONFIGS / "uim_ml1m_small.py")
    return Study(
        name="uim_prompts",
        title="UiM: what the simulated user is asked, MovieLens-1M",
        rows=(
            Row("without a simulated user", uim),
            *(
                Row(
                    label,
                    uim,
                    ("without a simulated user",),
                    refined=SimulatedUserConfig(template=template, top=20, things="movies", consumed="watched"),
                )
                for label, template in PROMPTS.items()
            ),
        ),
        columns=(Column("MovieLens-1M"),),
        seeds=(0,),
        metrics=("hit@10", "ndcg@10", "hit@20", "ndcg@20"),
        notes=("language models may know these films and who likes them from elsewhere",),
    )
