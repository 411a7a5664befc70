"""SEALR on the built-in sample, with a decoder made from nothing: every step, in minutes.

Paper: none; the sample's reviews are written from planted tastes. SEALR's own figures: docs/results/sealr.md.
Data: built-in sample, favors alone: 1,000 users, 600 items, leave-one-out, a user's two last items held out.
Command: python -m jaxrec.launch --config configs/sealr_sample.py
         sentiments from the reviews' texts: … --model.sentiment.lexicon DIR or --model.sentiment.model DIR
Hardware: two CPU cores.
Wall time: 2 min 15 s beside another program
Result: docs/results/sealr.md
Deviations: model.tuning.decoder is none: all weights of a tiny decoder are trained, on half of the users
(model.tuning.share), for model.tuning.epochs with a learning rate (model.tuning.learning_rate) for few steps.
model.tuning.row_tokens fits two prompts: attention over rows of 1,024 tokens took four times as long.
model.candidates.count is 20 and model.prompt.items new_tokens, one token an item where a number takes up to three.
model.sentiment.source is rating, of each review's stars, as no emotion model comes with the sample.
"""

from jaxrec.config import Experiment
from jaxrec.data.config import DataConfig
from jaxrec.data.sentiment_config import SentimentConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.models.sealr_config import CandidatesConfig, PromptConfig, SEALRConfig, TuningConfig


def get_config() -> Experiment[SEALRConfig]:
    return Experiment(
        model=SEALRConfig(
            candidates=CandidatesConfig(retriever_config="configs/sasrec_sample.py", count=20),
            prompt=PromptConfig(items="new_tokens", category="items", history=20),
            tuning=TuningConfig(share=0.5, epochs=6, batch_size=32, row_tokens=448, learning_rate=3e-3),
            sentiment=SentimentConfig(),
        ),
        data=DataConfig(name="sample", split="leave_one_out"),
        text=TextConfig(source="none"),
        eval=EvalConfig(k=(5, 10), protocols=("retrieved",), save_topk=10),
    )
