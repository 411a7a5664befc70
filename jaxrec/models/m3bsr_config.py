"""Settings of M3BSR. Every unclear equation has a default reading; the paper's literal one is a named choice."""

from __future__ import annotations

import dataclasses
import operator
from typing import ClassVar, Literal

from jaxrec.errors import UserError
from jaxrec.nn.diffusion import NoiseSchedule, make_schedule
from jaxrec.nn.item_losses import ItemLossConfig
from jaxrec.nn.partition_rules import MULTIMODAL_BY_VOCABULARY, PartitionRules


@dataclasses.dataclass(frozen=True)
class DenoisingConfig:
    """One conditional diffusion stage (section 4.2)."""

    kind: Literal["diffusion", "mlp", "none"] = "diffusion"
    """Conditional diffusion; a plain network in its place (the control of Fig. 5); or the features as they are."""
    weight: float = 0.02
    """Weight of the reconstruction loss, lambda_m or lambda_b of Eq. 25."""
    num_steps: int = 15
    """Steps T of the diffusion."""
    schedule: Literal["linear", "cosine", "paper"] = "linear"
    """Variances from noise_low to noise_high; a squared cosine; or alpha itself in that range (section 5.1.3)."""
    noise_low: float = 1e-3
    """Variance of the first step's noise."""
    noise_high: float = 0.1
    """Variance of the last step's noise."""
    mean: Literal["ddpm", "paper"] = "ddpm"
    """Forward mean sqrt(1 - beta) h, which keeps the variance; or (1 - beta) h as Eq. 1 and 6 print it."""
    reverse: Literal["ddpm", "paper"] = "ddpm"
    """Divisor of a reverse step: sqrt(1 - prod alpha) as in Eq. 12, or sqrt(1 - alpha_t) as Eq. 8 prints it."""
    denoiser: Literal["full", "attention"] = "full"
    """Cross-attention with step, position and a feed-forward network; or bare cross-attention as in Eq. 9."""
    objective: Literal["noise", "paper"] = "noise"
    """Error of the predicted noise; or Eq. 10 and 13 as printed, which are least where nothing is denoised."""
    inference: Literal["onestep", "chain"] = "onestep"
    """At evaluation: clean features out of one step at once, as in training; or by all reverse steps from it on."""
    inference_step: int | None = None
    """At evaluation features are taken for a state of this step, with as much noise; None: the step in the middle."""

    @property
    def first_step(self) -> int:
        """The step that features are taken for at evaluation, 1 to num_steps."""
        return self.inference_step or (self.num_steps + 1) // 2

    def make_schedule(self) -> NoiseSchedule:
        """The noise schedule of the stage."""
        return make_schedule(self.schedule, self.num_steps, self.noise_low, self.noise_high, self.mean, self.reverse)


@dataclasses.dataclass(frozen=True)
class DisentanglementConfig:
    """Interest disentanglement (Eq. 20)."""

    kind: Literal["repulse", "paper"] = "repulse"
    """Push the experts' vectors apart, as the text asks; or Eq. 20 as printed, least where all are equally alike."""
    weight: float = 0.05
    """Weight lambda_c in the total loss; 0 leaves it out (the paper's w/o Disent)."""
    temperature: float = 0.3
    """Temperature of the similarities."""


@dataclasses.dataclass(frozen=True)
class M3BSRConfig:
    """Settings of M3BSR (Cui et al., SIGIR 2025); behaviours, modalities and id fields are those of the data."""

    name: ClassVar[str] = "m3bsr"
    needs_text: ClassVar[bool] = False
    needs_graph: ClassVar[bool] = False
    needs_histories: ClassVar[bool] = True
    needs_features: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    input: ClassVar[str] = "targets"
    mesh_axis: ClassVar[str] = "data"
    # Each device has its share of the catalogue, as the softmax over it wants.
    partition_rules: ClassVar[PartitionRules] = MULTIMODAL_BY_VOCABULARY

    dim: int = 128
    """Width d of projected features and of user vectors."""
    id_dim: int = 16
    """Width of each id field's embedding and of the id features (Eq. 3)."""
    max_length: int = 50
    """Events of each behaviour that are read, the latest."""
    num_layers: int = 2
    """Transformer layers of each expert."""
    num_heads: int = 4
    """Heads of each attention."""
    dropout: float = 0.1
    """Dropout in the experts."""
    user_field: Literal["embedding", "none"] = "embedding"
    """The user's id as one of the id fields, or left out."""
    space: Literal["projected", "raw"] = "projected"
    """Diffuse features projected to dim and normalised; or as they come, each modality in its own width."""
    modality: DenoisingConfig = DenoisingConfig()
    """Modality denoising, conditioned on ids (CDMD-M)."""
    behavior: DenoisingConfig = DenoisingConfig()
    """Behaviour denoising, conditioned on the next deeper behaviour (CDMD-B)."""
    behavior_condition: str = "same"
    """Condition of behaviour denoising: the deeper behaviour in the same modality; or a modality's name, for all
    (Eq. 12 prints image)."""
    extraction: Literal["experts", "mean"] = "experts"
    """Multi-expert extraction; or a linear map of the mean of all sequences (the paper's w/o MEIE)."""
    shared_expert: Literal["cross_attention", "none"] = "cross_attention"
    """The expert for common interests; or specific ones alone (the paper's w/o Shared Expert)."""
    contrast: DisentanglementConfig = DisentanglementConfig()
    """Disentanglement of the experts' vectors."""
    output: Literal["free", "tied"] = "free"
    """Item vectors of the prediction: a free table (W_y of Eq. 23), or a linear map of the item embeddings."""
    loss: ItemLossConfig = dataclasses.field(default=ItemLossConfig())
    """How targets are told from other items (Eq. 24)."""
    init_std: float = 0.02
    """Standard deviation of the first embeddings."""

    @property
    def num_negatives(self) -> int:
        """Negatives of each target that a batch brings."""
        return self.loss.num_negatives if self.loss.needs_negatives else 0

    def validate(self, prefix: str = "model") -> None:
        """Raise UserError for a value that no data could make sense of."""
        one = (lambda value: value >= 1, "1 or more")
        from_zero = (lambda value: value >= 0, "0 or more")
        rules = {
            "dim": (lambda value: value >= 1 and value % max(self.num_heads, 1) == 0, "multiples of num_heads"),
            "id_dim": one,
            "max_length": one,
            "num_layers": one,
            "num_heads": one,
            "dropout": (lambda value: 0 <= value < 1, "from 0 to below 1"),
            "contrast.weight": from_zero,
            "contrast.temperature": (lambda value: value > 0, "above 0"),
            "init_std": (lambda value: value > 0, "above 0"),
        }
        for stage in ("modality", "behavior"):
            low, last = getattr(self, stage).noise_low, getattr(self, stage).num_steps
            rules |= {
                f"{stage}.weight": from_zero,
                f"{stage}.num_steps": one,
                f"{stage}.inference_step": (
                    lambda value, last=last: value is None or 1 <= value <= last,
                    "1 to num_steps, or none for the middle",
                ),
                f"{stage}.noise_low": (lambda value: 0 < value < 1, "between 0 and 1"),
                f"{stage}.noise_high": (lambda value, low=low: low <= value < 1, "from noise_low to below 1"),
            }
        for field, (holds, allowed) in rules.items():
            if not holds(found := operator.attrgetter(field)(self)):
                raise UserError(f"{prefix}.{field}: found {found}, allowed: {allowed}")
        self.loss.validate(f"{prefix}.loss")
        if self.space == "raw" and self.id_dim % self.num_heads:
            raise UserError(f"{prefix}.id_dim: found {self.id_dim}, allowed: multiples of num_heads in the raw space")
