"""SEALR on Amazon Beauty for two CPU cores: SmolLM2-135M by LoRA, names, 500 users tuned on and 500 ranked.

Paper: none with this model; configs/sealr_beauty.py has the paper's settings.
Data: 22,363 users, 12,101 items, 198,502 interactions (5-core, in order), keywords of each item as its name, no
reviews.
Command: python -m jaxrec.launch --config configs/sealr_beauty_small.py --data.path DIR --model.tuning.decoder FILE
         as the paper puts the target in: … --model.candidates.inject-target
Models: SmolLM2-135M-Instruct, a folder or a .gguf file.
Hardware: two CPU cores.
Wall time: 22 min of tuning and 20 to 30 min of ranking on two busy cores
Result: docs/results/sealr.md
Deviations: model.tuning.decoder, model.prompt.items, model.prompt.sentiment and model.candidates.count are for a small
model and data without reviews; model.tuning.user_limit and model.ranking.user_limit for two cores.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.llm.lora import LoRAConfig
from jaxrec.models.sealr_config import CandidatesConfig, PromptConfig, RankingConfig, SEALRConfig, TuningConfig


def get_config() -> Experiment[SEALRConfig]:
    return Experiment(
        model=SEALRConfig(
            candidates=CandidatesConfig(retriever_config="configs/sasrec_beauty.py", count=20),
            prompt=PromptConfig(
                items="names", sentiment=False, category="beauty products", history=10, name_words=6, max_tokens=368
            ),
            tuning=TuningConfig(
                decoder="SmolLM2-135M-Instruct",
                user_limit=500,
                epochs=1,
                batch_size=16,
                # Rows that their prompts fill cost half of those of 1,024; four at a time, a quarter of the memory.
                row_tokens=384,
                micro_batches=4,
                learning_rate=3e-4,
                lora=LoRAConfig(rank=8, alpha=16.0, dropout=0.05),
            ),
            ranking=RankingConfig(user_limit=500),
        ),
        data=DataConfig(name="beauty", split="leave_one_out"),
        text=TextConfig(source="none"),
        eval=EvalConfig(k=(5, 10), protocols=("retrieved",), save_topk=10),
    )
