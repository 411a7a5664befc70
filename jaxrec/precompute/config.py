"""What a user says about a precompute job: the data, the steps, who answers, and what each step is told."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

import tyro

from jaxrec.config.fields import leaves
from jaxrec.data.config import DataConfig
from jaxrec.data.filters import check_filter
from jaxrec.data.noise import check_noise
from jaxrec.data.sentiment_config import SentimentConfig
from jaxrec.data.splits import check_split
from jaxrec.errors import UserError
from jaxrec.models.sealr_config import CandidatesConfig, PromptConfig, RankingConfig, TuningConfig
from jaxrec.precompute.features.config import FeaturesConfig
from jaxrec.precompute.local_settings import LocalSettings
from jaxrec.precompute.openai_settings import OpenAISettings
from jaxrec.precompute.profiles.config import ProfilesConfig
from jaxrec.precompute.simulated_user.config import SimulatedUserConfig


@dataclasses.dataclass(frozen=True)
class MotivationsConfig:
    """Step "motivations": why items are chosen and avoided, and what moves users (LMMRec Eq. 1)."""

    prompts: Literal["full", "brief"] = "full"
    """The prompt files: `brief` asks in a quarter of the words, after the data: for small models."""
    item_reviews: int = 8
    """Training reviews that an item's prompt holds, at most; they need data.reviews."""
    item_chars: int = 1200
    """Cut an item's own text to this many characters."""
    user_items: int = 12
    """Training items that a user's prompt holds, at most."""
    review_chars: int = 400
    """Cut each review to this many characters."""
    item_limit: int | None = None
    """Ask for the first so many items of the data set alone, to try things out; None asks for all."""
    user_limit: int | None = None
    """The same for users."""
    max_tokens: int = 1200
    """An answer has at most so many tokens; the default is enough for the longest that the schema allows."""
    temperature: float = 0.0
    """Of the model's answers."""
    seed: int = 0
    """Of the model's answers."""


@dataclasses.dataclass(frozen=True)
class EmbeddingsConfig:
    """Step "embeddings": the summaries of the motivations as vectors that --text.path reads."""

    source: Literal["auto", "openai", "encoder", "tfidf"] = "auto"
    """`auto`: openai where the backend is openai or replay; else the encoder if one is given, else TF-IDF."""
    encoder: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Local folder of a BERT sentence encoder, such as all-MiniLM-L6-v2."""
    dim: int | None = None
    """Width of hosted vectors (None: the model's own) and of TF-IDF vectors (None: 256). An encoder has its own."""
    min_df: int = 2
    """A word counts in TF-IDF if it stands in at least this many item summaries."""


@dataclasses.dataclass(frozen=True)
class PrecomputeConfig:
    """A precompute job. The output of a step depends on the data, its own settings and the model alone."""

    data: DataConfig = DataConfig()
    """Interactions; the same settings as those of the run that will read the output."""
    steps: tuple[str, ...] = ("motivations", "embeddings")
    """What to make; steps that these need are made first."""
    backend: Literal["openai", "local", "rules", "replay"] = "openai"
    """Who answers: a hosted model, one on this machine, functions without a model, or the kept answers alone."""
    openai: OpenAISettings = OpenAISettings()
    """The hosted models, or any server that speaks their protocol."""
    local: LocalSettings = LocalSettings()
    """The model on this machine."""
    replay_model: str | None = None
    """Whose kept answers `replay` takes; None: openai.model."""
    motivations: MotivationsConfig = MotivationsConfig()
    embeddings: EmbeddingsConfig = EmbeddingsConfig()
    sentiment: SentimentConfig = SentimentConfig()
    profiles: ProfilesConfig = ProfilesConfig()
    simulated_user: SimulatedUserConfig = SimulatedUserConfig()
    features: FeaturesConfig = FeaturesConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    prompt: PromptConfig = PromptConfig()
    tuning: TuningConfig = TuningConfig()
    ranking: RankingConfig = RankingConfig()
    out: str = "precomputed"
    """Folder of the outputs: OUT/NAME/STEP-HASH."""
    answers: str | None = None
    """File of kept answers; None: OUT/answers.sqlite. Nothing in it is asked again, so it is worth keeping."""
    launch_config: str = "configs/lmmrec_steam.py"
    """Config of the run that will read the vectors; the command to start it is printed at the end."""
    name: Annotated[str, tyro.conf.Suppress] = ""
    """Name of the config file without its ending; set when the file is loaded."""

    def validate(self) -> None:
        """Check what can be known without the data. Raises UserError naming the field, its value, what is allowed."""
        from jaxrec.precompute.registry import STEPS

        for leaf in leaves(self):
            if isinstance(leaf.value, float) and not math.isfinite(leaf.value):
                raise UserError(f"{leaf.name}: found {leaf.value}, allowed: finite numbers")
        check_split(self.data)
        check_filter(self.data.filter)
        check_noise(self.data)
        for name in self.steps:
            _require(name in STEPS, "steps", name, ", ".join(STEPS))
        _require(len(self.steps) > 0, "steps", "none", ", ".join(STEPS))
        for part in (self.openai, self.local, self.sentiment, self.simulated_user, self.features):
            part.validate()
        for part in (self.candidates, self.prompt, self.tuning, self.ranking):
            part.validate()
        if self.backend == "local" and self.local.checkpoint is None:
            raise UserError("backend: found local, allowed with --local.checkpoint DIR|FILE")
        motivations, embeddings = self.motivations, self.embeddings
        _require(motivations.prompts in ("full", "brief"), "motivations.prompts", motivations.prompts, "full, brief")
        for name in ("item_chars", "user_items", "review_chars"):
            _require(getattr(motivations, name) >= 1, f"motivations.{name}", getattr(motivations, name), "1 or more")
        _require(motivations.item_reviews >= 0, "motivations.item_reviews", motivations.item_reviews, "0 or more")
        for name in ("item_limit", "user_limit"):
            value = getattr(motivations, name)
            _require(value is None or value >= 0, f"motivations.{name}", value, "0 or more, or None for all")
        _require(motivations.max_tokens >= 1, "motivations.max_tokens", motivations.max_tokens, "1 or more")
        temperature = motivations.temperature
        _require(0 <= temperature <= 2, "motivations.temperature", temperature, "0 to 2")
        dim, source = embeddings.dim, embeddings.source
        _require(dim is None or dim >= 1, "embeddings.dim", dim, "1 or more, or None")
        _require(embeddings.min_df >= 1, "embeddings.min_df", embeddings.min_df, "1 or more")
        if source == "encoder" and embeddings.encoder is None:
            raise UserError("embeddings.source: found encoder, allowed with --embeddings.encoder DIR")
        if source not in ("auto", "encoder") and embeddings.encoder is not None:
            raise UserError(f"embeddings.source: found {source} beside embeddings.encoder, allowed: auto or encoder")


def _require(holds: bool, field: str, found: object, allowed: str) -> None:
    if not holds:
        raise UserError(f"{field}: found {found}, allowed: {allowed}")
