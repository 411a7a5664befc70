"""What a trained model knows of items, as a folder that other models read as features."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import jax
import numpy as np

from jaxrec.assembly import LoadedRun
from jaxrec.data.text_files import write_text_features
from jaxrec.errors import UserError
from jaxrec.eval.scoring import encode


def export_item_vectors(run: LoadedRun, folder: pathlib.Path) -> dict[str, Any]:
    """Write the vectors that a run ranks items by, without biases, for features.paths; a line's worth of figures.

    The manifest says which data set the run was trained on, so that nobody reads the vectors beside another split of
    it, whose test part they may have seen. Raises UserError for a model that scores without vectors, and where the
    folder holds a manifest already.
    """
    name = run.experiment.model.name
    _, items = jax.jit(functools.partial(encode, run.model))(run.params, run.ctx)
    if items is None:
        raise UserError(f"--run: found a run of model {name}, which scores without item vectors; nothing to write")
    vectors = np.asarray(items.vectors)
    if not np.isfinite(vectors).all():
        raise UserError(f"--run: found item vectors of model {name} that are not finite; nothing to write")
    write_text_features(
        folder,
        vectors,
        model=name,
        item_ids=run.dataset.items.raw.tolist(),
        extra={
            "kind": "item_vectors",
            "trained_on": run.dataset.sha256,
            "config_hash": run.result["config_hash"],
            "step": run.result["best_step"],
        },
    )
    return {"items": len(vectors), "dim": vectors.shape[1], "bias": bool(np.asarray(items.bias).any())}
