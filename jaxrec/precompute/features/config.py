"""What a user says about the features step."""

from __future__ import annotations

import dataclasses
from typing import Literal

from jaxrec.errors import UserError


@dataclasses.dataclass(frozen=True)
class FeaturesConfig:
    """Step "features": a vector of each item's picture and one of its title (M3BSR)."""

    clip: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Local folder of a CLIP, such as openai/clip-vit-base-patch32."""
    images: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Folder of pictures for clip, each named after its item's id: B000052YFN.jpg."""
    on_bad_image: Literal["error", "skip"] = "error"
    """A damaged picture stops the step, or is counted as missing."""
    image_vectors: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Given vectors of pictures in place of clip: .npy in the data set's order, or a folder with a manifest."""
    text_vectors: str | None = dataclasses.field(default=None, metadata={"hash": False})
    """Given vectors of titles in place of clip."""

    def validate(self) -> None:
        """Raises: UserError naming the field, its value and what is allowed."""
        if self.images is not None and self.clip is None:
            raise UserError(f"features.images: found {self.images}, allowed with --features.clip DIR")
        if self.images is not None and self.image_vectors is not None:
            raise UserError("features.image_vectors: found beside features.images, allowed: one of the two")
