"""One experiment: everything that decides what a run computes."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Generic, TypeVar

import tyro

from jaxrec.data.config import DataConfig
from jaxrec.data.item_features_config import ItemFeaturesConfig
from jaxrec.data.profiles.config import UserProfilesConfig
from jaxrec.data.text_config import TextConfig
from jaxrec.eval.config import EvalConfig
from jaxrec.train.config import DevicesConfig, TrainConfig

ModelConfigT = TypeVar("ModelConfigT")


@dataclasses.dataclass(frozen=True)
class Experiment(Generic[ModelConfigT]):
    """A model, its data and how it is trained and evaluated.

    A field with `metadata={"hash": False}`, at any depth, does not change the result; neither do `devices` and
    `name`. All of these stay out of the hash.
    """

    model: ModelConfigT
    """The model; its class decides which one."""
    data: DataConfig = DataConfig()
    """Interactions: source, filter, split."""
    text: TextConfig = TextConfig()
    """Text features of users and items."""
    features: ItemFeaturesConfig = dataclasses.field(default=ItemFeaturesConfig(), metadata={"added": "0.2"})
    """Vectors of items by modality, for multimodal models."""
    profiles: UserProfilesConfig = dataclasses.field(default=UserProfilesConfig(), metadata={"added": "0.2"})
    """Fields of users, for models that read them."""
    train: TrainConfig = TrainConfig()
    """Length, batches, optimiser, early stopping, checkpoints."""
    eval: EvalConfig = EvalConfig()
    """Ranking and metrics."""
    devices: DevicesConfig = dataclasses.field(default=DevicesConfig(), metadata={"hash": False})
    """Devices and mesh; the result does not depend on them."""
    seed: int = 0
    """Seed of initialisation, batches and negatives. The split has its own: data.split_seed."""
    seeds: int = dataclasses.field(default=1, metadata={"added": "0.2"})
    """Seeds that are trained in one program, the first of them `seed`; the result is their mean."""
    name: Annotated[str, tyro.conf.Suppress] = dataclasses.field(default="", metadata={"hash": False})
    """Name of the config file without its ending; set when the file is loaded."""

    @property
    def reads_text(self) -> bool:
        """Whether text features are loaded: for the model itself, or as a modality of items."""
        model: Any = self.model
        return model.needs_text or (self.features.text and getattr(model, "needs_features", False))
