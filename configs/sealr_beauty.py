"""SEALR on Amazon Beauty with the paper's settings: LLaMA2-7B by LoRA, 50 candidates, tuned on a tenth of the users.

Paper: SEALR (Lee and Kim, SIGIR 2025), Table 2, Beauty, FT10 Can50: hit@5 0.1000, ndcg@5 0.0600, hit@10 0.1922, ndcg@10
0.0895, which is a random order of 50 candidates with the target put in: docs/results/sealr.md. Theirs is
--model.candidates.inject-target; here a target that the retriever missed is a miss.
Data: Amazon reviews of Beauty (2014), 5-core: 22,363 users, 12,101 items, 198,502 interactions, leave-one-out.
Command: python -m jaxrec.launch --config configs/sealr_beauty.py --data.path reviews_Beauty_5.json.gz
         --model.tuning.decoder DIR --model.sentiment.model DIR
         sequences without reviews: … --model.prompt.no-sentiment
Models: meta-llama/Llama-2-7b-hf and SamLowe/roberta-base-go_emotions, as folders on this machine.
Hardware: an accelerator with 40 GB or more.
Wall time: not run, as neither the model nor review text can be had here.
Result: not run; docs/results/sealr.md holds what was.
Deviations: model.candidates.inject_target is off. The retriever is configs/sasrec_beauty.py, on the training part; the
paper's own has half its hit rate. model.sentiment.mapping puts ambiguous emotions under neutral.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig, FilterConfig
from jaxrec.data.sentiment_config import SentimentConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.llm.lora import LoRAConfig
from jaxrec.models.sealr_config import CandidatesConfig, PromptConfig, SEALRConfig, TuningConfig


def get_config() -> Experiment[SEALRConfig]:
    return Experiment(
        model=SEALRConfig(
            candidates=CandidatesConfig(retriever_config="configs/sasrec_beauty.py", count=50),
            prompt=PromptConfig(items="digits", sentiment=True, category="beauty products", history=50),
            tuning=TuningConfig(
                decoder="Llama-2-7b-hf",
                share=0.1,
                valid_share=0.05,
                batch_size=32,
                micro_batches=4,
                lora=LoRAConfig(rank=8, alpha=16.0, dropout=0.05),
                dtype="bfloat16",
                remat=True,
            ),
            sentiment=SentimentConfig(source="goemotions", model="roberta-base-go_emotions"),
        ),
        data=DataConfig(
            name="beauty",
            filter=FilterConfig(user_core=5, item_core=5),
            split="leave_one_out",
            published=(198_502, 22_363, 12_101),
        ),
        text=TextConfig(source="none"),
        eval=EvalConfig(k=(5, 10), protocols=("retrieved",), save_topk=10),
    )
