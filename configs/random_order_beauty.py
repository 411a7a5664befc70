"""A random order on Amazon Beauty: what SEALR's protocol gives to a ranker that knows nothing.

Paper: none; SEALR's Table 2 and 3 stand beside it in docs/results/sealr.md.
Data: 22,363 users, 12,101 items, 198,502 interactions (5-core, in order, no times), leave-one-out.
Command: python -m jaxrec.launch --config configs/random_order_beauty.py --data.path DIR --eval.pools CANDIDATES
Hardware: two CPU cores.
Wall time: seconds.
Result: docs/results/sealr.md
Deviations: none. eval.pools is a folder of the step candidates of jaxrec.precompute.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.random_order import RandomOrderConfig


def get_config() -> Experiment[RandomOrderConfig]:
    return Experiment(
        model=RandomOrderConfig(),
        data=DataConfig(name="beauty", filter=FilterConfig(user_core=5, item_core=5), split="leave_one_out"),
        text=TextConfig(source="none"),
        eval=EvalConfig(k=(5, 10), protocols=("full",)),
    )
