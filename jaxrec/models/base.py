"""The contract between a model and the trainer, the evaluator and the server: all that they know of it."""

from __future__ import annotations

from typing import Any, Protocol

import flax.struct
import jax

from jaxrec.data.batch import Batch

Params = Any
Extra = Any
Encoded = Any


@flax.struct.dataclass
class Context:
    """Dense state that every step reads and none changes; always an argument of a compiled function.

    graph: jaxrec.nn.graph.Graph of the training part, or None. user_text, item_text: [U, T], [I, T] float32 or
    None; the masks [U], [I] bool say which rows are real. item_counts: [I] int32 training interactions.
    item_singular_vectors: [I, d] float32, the graph's first right singular vectors, or None.
    histories: what each user did before the target of the part that is ranked, one [U, L] int32 a behaviour, the
    target behaviour last; item id + 1, the latest at the right, 0 to its left. None for models that read none.
    item_features: modality -> [I, W] float32, frozen; item_feature_masks: the same names -> [I] bool, True = real.
    item_fields: categorical field, such as brand -> [I] int32, 0 where unknown.
    ranked_items: [U, C] int32 lists made before the run, best first, -1 behind the last; None where there are none.
    user_fields: categorical field of a profile, such as gender -> [U] int32, 0 where unknown.
    user_field_sizes (static): how many categories each has, unknown among them, in the order of the sorted names.
    user_numbers: numeric field -> [U] float32, standardised, 0 where unknown; user_number_masks: the same names ->
    [U] bool, True = known.
    mesh is static: the devices that propagation may use by itself (jaxrec.nn.propagation), None on one device.
    """

    graph: Any = None
    user_text: jax.Array | None = None
    item_text: jax.Array | None = None
    user_text_mask: jax.Array | None = None
    item_text_mask: jax.Array | None = None
    item_counts: jax.Array | None = None
    item_singular_vectors: jax.Array | None = None
    histories: tuple[jax.Array, ...] | None = None
    item_features: dict[str, jax.Array] | None = None
    item_feature_masks: dict[str, jax.Array] | None = None
    item_fields: dict[str, jax.Array] | None = None
    ranked_items: jax.Array | None = None
    user_fields: dict[str, jax.Array] | None = None
    user_numbers: dict[str, jax.Array] | None = None
    user_number_masks: dict[str, jax.Array] | None = None
    user_field_sizes: tuple[int, ...] = flax.struct.field(pytree_node=False, default=())
    mesh: jax.sharding.Mesh | None = flax.struct.field(pytree_node=False, default=None)


@flax.struct.dataclass
class LossOutput:
    """Total loss, its named parts (all logged) and the state that is not a parameter (an EMA teacher, say)."""

    total: jax.Array
    parts: dict[str, jax.Array]
    extra: Extra


@flax.struct.dataclass
class ItemVectors:
    """vectors: [I, D] float32; bias: [I] float32."""

    vectors: jax.Array
    bias: jax.Array


class _Trained(Protocol):
    """What the trainer knows of a model."""

    def init(self, rng: jax.Array, ctx: Context) -> tuple[Params, Extra]:
        """Nested dict of parameters, and the first extra state ({} where there is none)."""
        ...

    def loss(self, params: Params, extra: Extra, batch: Batch, ctx: Context, rng: jax.Array) -> LossOutput:
        """Loss of one batch, masked rows left out."""
        ...

    def encode(self, params: Params, ctx: Context) -> Encoded:
        """What is computed once per evaluation: propagation, item towers."""
        ...


class VectorModel(_Trained, Protocol):
    """score(user, item) = max over K of <user vector, item vector> + bias; one evaluator serves all."""

    def user_vectors(self, encoded: Encoded, batch: Batch) -> jax.Array:
        """[B, K, D] float32; K interests, 1 for most models."""
        ...

    def item_vectors(self, encoded: Encoded) -> ItemVectors:
        """Vectors and bias of the whole catalogue."""
        ...


class SharedModel(VectorModel, Protocol):
    """A vector model whose tables of items lie by row over the devices of ctx.mesh: ranked without a whole one.

    Where tables lie by feature the functions of VectorModel do, compiled for the mesh.
    """

    def shared_encode(self, params: Params, ctx: Context) -> Encoded:
        """What is computed once per evaluation, everything where the parameters have it."""
        ...

    def shared_user_vectors(self, encoded: Encoded, ctx: Context, batch: Batch) -> jax.Array:
        """user_vectors of a batch that is shared over "data", the rows of tables told among the devices."""
        ...

    def shared_item_vectors(self, encoded: Encoded) -> ItemVectors:
        """item_vectors where their rows are; those behind the last item, where there are any, mean nothing."""
        ...


class ScoringModel(_Trained, Protocol):
    """A model whose score is no product of vectors gives it by itself."""

    def score(self, encoded: Encoded, batch: Batch, item_ids: jax.Array | None) -> jax.Array:
        """[B, C] float32, of item_ids [B, C] int32, or of every item in order where they are None."""
        ...

    def score_floats(self, encoded: Encoded) -> int:
        """About how many float32 numbers `score` holds at a time for each row of the batch, beside its result."""
        ...


Model = VectorModel | ScoringModel


class LayeredModel(VectorModel, Protocol):
    """A graph model that LMMRec can stand on: LMMRec shares its ego embeddings and its loss, whatever that is.

    The parameters hold {"nodes": {"embedding": [U + I, D]}}, and a config with `dim` and `num_layers`.
    """

    def batch_nodes(self, batch: Batch) -> jax.Array:
        """Nodes of users, positive and negative items, one after the other: [3B] int32, items after users."""
        ...

    def training_graph(self, ctx: Context, rng: jax.Array) -> Any:
        """The graph of one step, after edge dropout."""
        ...

    def layer_rows(self, params: Params, rows: jax.Array, graph: Any, ctx: Context, num_layers: int) -> jax.Array:
        """[num_layers + 1, R, D] float32: LightGCN's layers of the ego embeddings at the given nodes."""
        ...

    def training_rows(self, params: Params, rows: jax.Array, graph: Any, ctx: Context) -> Any:
        """What the model's own loss reads of the given nodes."""
        ...

    def encoder_layers(self, rows: Any) -> jax.Array:
        """[K + 1, R, D] float32: LightGCN's layers among `training_rows`, the ego layer first."""
        ...

    def loss_from_rows(
        self, params: Params, rows: Any, batch: Batch, ctx: Context, rng: jax.Array
    ) -> dict[str, jax.Array]:
        """Weighted parts of the model's own loss, out of the rows of `batch_nodes`; their sum is the loss."""
        ...
