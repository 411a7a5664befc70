"""Settings of SEALR and PALR: a language model puts a retriever's candidates in order.

The steps of jaxrec.precompute and the models read the same classes, so that a run and what it stands on agree.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Literal

from jaxrec.data.sentiment_config import SentimentConfig
from jaxrec.errors import UserError
from jaxrec.llm.lora import LoRAConfig
from jaxrec.nn.partition_rules import WHOLE, PartitionRules

ASKED = 10
"""Items that the prompt asks for (SEALR, Figure 3; PALR as SEALR compares with it)."""


@dataclasses.dataclass(frozen=True)
class CandidatesConfig:
    """Step "candidates": the items that the language model puts in order (SEALR, section 2.2)."""

    retriever: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder of a finished run whose best items are the candidates; its hash stands for it."""
    retriever_config: str = ""
    """Config file that `launch` trains first where no retriever is given."""
    count: int = 50
    """C: candidates of each user."""
    inject_target: bool = False
    """Put the target into the pool of evaluation users where the retriever missed it, for the last item. Only to
    reproduce the paper's tables, which rest on it."""
    seed: int = 0
    """Of the order in which a prompt shows the candidates."""

    def validate(self, prefix: str = "candidates") -> None:
        """Raises: UserError naming the field, its value and what is allowed."""
        # Both targets of a tuning user are candidates.
        _require(self.count >= 2, f"{prefix}.count", self.count, "2 or more")


@dataclasses.dataclass(frozen=True)
class PromptConfig:
    """What the language model reads."""

    template: Literal["sealr", "palr"] = "sealr"
    """The words around history and candidates."""
    items: Literal["digits", "new_tokens", "names"] = "digits"
    """How an item is said: its number as text, a token of its own, or its name."""
    sentiment: bool = True
    """Tell the sentiment of each review of the history."""
    category: str = "products"
    """What the items are, in the plural: movies, products, businesses."""
    history: int = 20
    """Training items that a prompt tells, at most: the latest."""
    max_tokens: int = 1024
    """Longest prompt; a longer one loses its oldest items, whole."""
    name_words: int = 8
    """Cut names to this many words."""
    summary: Literal["keywords", "written"] = "keywords"
    """How the preference of template palr comes about: the most frequent words of the history's items, or keywords
    that the model behind `backend` writes."""

    def validate(self, prefix: str = "prompt") -> None:
        """Raises: UserError naming the field, its value and what is allowed."""
        _one_of(self.template, ("sealr", "palr"), f"{prefix}.template")
        _one_of(self.items, ("digits", "new_tokens", "names"), f"{prefix}.items")
        _one_of(self.summary, ("keywords", "written"), f"{prefix}.summary")
        words = self.category.replace(" ", "")
        _require(words.isalpha(), f"{prefix}.category", repr(self.category), "words")
        for field in ("history", "max_tokens", "name_words"):
            _require(getattr(self, field) >= 1, f"{prefix}.{field}", getattr(self, field), "1 or more")
        palr = self.template == "palr" and self.sentiment
        _require(not palr, f"{prefix}.sentiment", "on beside template palr", "off, as that template tells none")


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Step "tuning": the language model learns from some users what others chose last (SEALR, section 2.3)."""

    decoder: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder of a Llama-family model (config.json, safetensors, tokenizer.json) or a .gguf file, tuned by LoRA; None:
    a tiny decoder made from nothing, all of whose weights are trained."""
    hidden_dim: int = 64
    """Width of the tiny decoder."""
    num_layers: int = 2
    """Layers of the tiny decoder."""
    num_heads: int = 4
    """Heads of the tiny decoder's attention; a divisor of hidden_dim into an even width."""
    share: float = 0.1
    """Of all users, those that are tuned on; the half that is evaluated is never among them."""
    valid_share: float = 0.05
    """Of the tuning users, those that choose the best epoch."""
    user_limit: int | None = None
    """Tune on so many of them at most, validation users included; fewer are among more."""
    epochs: int = 3
    """Times that each example is read."""
    batch_size: int = 32
    """Examples of a step."""
    micro_batches: int = 1
    """Parts that a step's gradient is summed over, to save memory."""
    learning_rate: float = 3e-4
    """Of AdamW; it warms up over a tenth of the steps and falls to nothing as a cosine."""
    lora: LoRAConfig = LoRAConfig(dropout=0.05)
    """Adapters of a decoder that is given."""
    row_tokens: int = 1024
    """Tokens of a row into which several examples are packed; longer examples lengthen it."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights and the arithmetic of a decoder that is given."""
    remat: bool = False
    """Compute each layer again in the backward pass, to save memory."""
    supervision: Literal["last_two", "last_one", "pad_retriever"] = "last_two"
    """The answer to learn: the last item and the one before it, the last alone, or both and the retriever's best
    until ten."""
    seed: int = 0
    """Of the order of examples, of first weights and of dropout."""
    devices: int | None = dataclasses.field(default=1, metadata={"hash": False})
    """Devices to use; None takes all."""
    tensor_devices: int = dataclasses.field(default=1, metadata={"hash": False})
    """Of these, so many divide each weight of the decoder; the examples are divided among the rest."""

    def validate(self, prefix: str = "tuning") -> None:
        """Raises: UserError naming the field, its value and what is allowed."""
        for field in ("hidden_dim", "num_layers", "epochs", "batch_size", "micro_batches", "row_tokens"):
            _require(getattr(self, field) >= 1, f"{prefix}.{field}", getattr(self, field), "1 or more")
        heads = self.num_heads
        # Rotary positions turn pairs of features.
        fits = heads >= 1 and self.hidden_dim % (2 * heads) == 0
        _require(fits, f"{prefix}.num_heads", heads, f"divisors of half of hidden_dim, {self.hidden_dim}")
        _require(0 < self.share <= 0.5, f"{prefix}.share", self.share, "above 0, up to 0.5")
        _require(0 < self.valid_share < 1, f"{prefix}.valid_share", self.valid_share, "above 0, below 1")
        limit = self.user_limit
        _require(limit is None or limit >= 2, f"{prefix}.user_limit", limit, "2 or more, or None for all")
        rate = self.learning_rate
        _require(math.isfinite(rate) and rate > 0, f"{prefix}.learning_rate", rate, "above 0")
        _one_of(self.dtype, ("float32", "bfloat16"), f"{prefix}.dtype")
        _one_of(self.supervision, ("last_two", "last_one", "pad_retriever"), f"{prefix}.supervision")
        _require(self.devices is None or self.devices >= 1, f"{prefix}.devices", self.devices, "1 or more, or None")
        tensor = self.tensor_devices
        divides = tensor >= 1 and (self.devices is None or self.devices % tensor == 0)
        _require(divides, f"{prefix}.tensor_devices", tensor, f"divisors of devices, {self.devices}")


@dataclasses.dataclass(frozen=True)
class RankingConfig:
    """Step "ranking": the tuned model puts the candidates of the evaluation users in order."""

    method: Literal["score", "generate"] = "score"
    """`score`: every candidate's probability under the shared prompt; `generate`: an answer that can hold candidates
    alone, each once."""
    refill: Literal["retriever", "none"] = "retriever"
    """What stands behind the items that the model has placed: the others as the retriever orders them, or nothing."""
    user_limit: int | None = None
    """Rank so many of the evaluation users at most; fewer are among more."""
    batch_size: int = 8
    """Prompts that are read at once."""

    def validate(self, prefix: str = "ranking") -> None:
        """Raises: UserError naming the field, its value and what is allowed."""
        _one_of(self.method, ("score", "generate"), f"{prefix}.method")
        _one_of(self.refill, ("retriever", "none"), f"{prefix}.refill")
        limit = self.user_limit
        _require(limit is None or limit >= 1, f"{prefix}.user_limit", limit, "1 or more, or None for all")
        _require(self.batch_size >= 1, f"{prefix}.batch_size", self.batch_size, "1 or more")


@dataclasses.dataclass(frozen=True)
class SEALRConfig:
    """Settings of SEALR: the steps that a run stands on, and where their outputs lie."""

    name: ClassVar[str] = "sealr"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    needs_rankings: ClassVar[bool] = True
    trains: ClassVar[bool] = False
    mesh_axis: ClassVar[str] = "data"
    partition_rules: ClassVar[PartitionRules] = WHOLE

    candidates: CandidatesConfig = CandidatesConfig()
    """The pools."""
    prompt: PromptConfig = PromptConfig()
    """What the language model reads."""
    tuning: TuningConfig = TuningConfig()
    """How it learns."""
    ranking: RankingConfig = RankingConfig()
    """How it ranks."""
    sentiment: SentimentConfig = SentimentConfig()
    """Where the sentiment of the history comes from."""
    rankings: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder of the step "ranking"; None: `launch` makes it first."""
    out: str = dataclasses.field(default="precomputed", metadata={"hash": False})
    """Folder of the outputs of steps, where `launch` makes them."""

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        self.candidates.validate(f"{prefix}.candidates")
        self.prompt.validate(f"{prefix}.prompt")
        self.tuning.validate(f"{prefix}.tuning")
        self.ranking.validate(f"{prefix}.ranking")
        if self.prompt.sentiment:
            self.sentiment.validate()


@dataclasses.dataclass(frozen=True)
class PALRConfig(SEALRConfig):
    """Settings of PALR: names and a preference summary in the prompt, no sentiment; the same steps."""

    name: ClassVar[str] = "palr"

    prompt: PromptConfig = PromptConfig(template="palr", items="names", sentiment=False)
    """What the language model reads."""
    tuning: TuningConfig = TuningConfig(share=0.2)
    """How it learns."""


def _require(holds: bool, field: str, found: object, allowed: str) -> None:
    if not holds:
        raise UserError(f"{field}: found {found}, allowed: {allowed}")


def _one_of(found: str, allowed: tuple[str, ...], field: str) -> None:
    _require(found in allowed, field, found, ", ".join(allowed))
