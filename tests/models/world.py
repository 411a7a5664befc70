"""A small world that every model test shares: interactions, text, a batch with repeats and masked rows."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

from jaxrec.data.sequence_rows import Sequences, stream_rows
from jaxrec.models.base import Context
from jaxrec.models.bprmf import BPRMFConfig
from jaxrec.models.comirec import ComiRecConfig
from jaxrec.models.lightgcn import LightGCNConfig
from jaxrec.models.lmmrec import CoordinationConfig, CorrespondenceConfig, LMMRecConfig
from jaxrec.models.m3bsr import M3BSRConfig
from jaxrec.models.mcln import MCLNConfig
from jaxrec.models.mcln_config import MCLNItemsConfig
from jaxrec.models.polycf import PolyCFConfig
from jaxrec.models.polycf_signal import PolyCFSignalConfig
from jaxrec.models.popularity import PopularityConfig
from jaxrec.models.random_order import RandomOrderConfig
from jaxrec.models.ranked_lists import PALRConfig, SEALRConfig
from jaxrec.models.sasrec import SASRecConfig
from jaxrec.models.uim import UiMConfig
from jaxrec.models.vbpr import VBPRConfig
from jaxrec.models.weightedgcl import WeightedGCLConfig
from jaxrec.nn.attention import stream_blocks
from jaxrec.nn.graph import build_graph
from jaxrec.nn.item_losses import ItemLossConfig

NUM_USERS, NUM_ITEMS, DIM, TEXT_DIM, NUM_SINGULAR_VECTORS = 24, 18, 8, 10, 4
MAX_LENGTH = 5
WIDTHS = {"image": 6, "text": 10}
SASREC = SASRecConfig(dim=DIM, hidden_dim=12, dropout=0.0, max_length=MAX_LENGTH, init_std=0.3)
M3BSR = M3BSRConfig(dim=DIM, id_dim=4, max_length=MAX_LENGTH, num_layers=1, num_heads=2, dropout=0.0, init_std=0.3)
UIM = UiMConfig(
    dim=DIM,
    max_length=MAX_LENGTH,
    profile_dim=4,
    mcln=MCLNItemsConfig(dim=DIM, num_layers=2, num_blocks=1),
    backbone_weight=0.5,
    regularization=1e-4,
    init_std=0.3,
)
BASE = LightGCNConfig(dim=DIM, num_layers=3, init_std=0.3)
# Weights large enough that an error in any part shows in the total.
LMMREC = LMMRecConfig(
    base=BASE,
    num_prototypes=6,
    coordination=CoordinationConfig(weight=0.5),
    correspondence=CorrespondenceConfig(weight=2.0, momentum=0.9),
    regularization=1e-3,
)
SMALL = {
    "popularity": PopularityConfig(),
    "bprmf": BPRMFConfig(dim=DIM, init_std=0.3),
    "bprmf_bias": BPRMFConfig(dim=DIM, init_std=0.3, item_bias=True),
    "lightgcn": BASE,
    "lightgcn_dropout": dataclasses.replace(BASE, edge_dropout=0.3),
    "weightedgcl": WeightedGCLConfig(dim=DIM, num_layers=3, contrast_weight=0.02, noise=0.5),
    "polycf": PolyCFConfig(dim=DIM, exponents=(0.0, 0.3, 0.8), init_std=0.3),
    "polycf_dropout": PolyCFConfig(dim=DIM, num_layers=2, identity=True, init_std=0.3, edge_dropout=0.3),
    # The positives that the literal reading shows to the filter are what the contract's scores show too.
    "polycf_signal": PolyCFSignalConfig(num_singular_vectors=NUM_SINGULAR_VECTORS, hide_positives=False),
    "polycf_signal_dropout": PolyCFSignalConfig(degree=2, num_singular_vectors=NUM_SINGULAR_VECTORS),
    "sasrec": SASREC,
    "sasrec_dropout": dataclasses.replace(SASREC, dropout=0.1),
    "sasrec_prefix": dataclasses.replace(
        SASREC, augment="prefix", norm="post", embedding_norm=False, scale_embeddings=True
    ),
    "m3bsr": M3BSR,
    "comirec": ComiRecConfig(
        dim=DIM, num_interests=3, max_length=MAX_LENGTH, init_std=0.3, loss=ItemLossConfig("softmax")
    ),
    "vbpr": VBPRConfig(dim=DIM, init_std=0.3),
    "mcln": MCLNConfig(dim=DIM, num_layers=2),
    "mcln_literal": MCLNConfig(dim=DIM, num_layers=2, num_blocks=1, attend="batch", counterfactual="paper"),
    "uim": UIM,
    "sealr": SEALRConfig(),
    "palr": PALRConfig(),
    "random_order": RandomOrderConfig(order_seed=3),
    "lmmrec": LMMREC,
    "lmmrec_learned": dataclasses.replace(LMMREC, text_source="learned"),
    "lmmrec_dropout": dataclasses.replace(LMMREC, base=dataclasses.replace(BASE, edge_dropout=0.3)),
    "lmmrec_over_weightedgcl": dataclasses.replace(
        LMMREC, base=WeightedGCLConfig(dim=DIM, num_layers=3, contrast_weight=0.02, noise=0.5), regularization=1e-4
    ),
    "lmmrec_over_polycf": dataclasses.replace(LMMREC, base=PolyCFConfig(dim=DIM, init_std=0.3)),
    "lmmrec_literal": dataclasses.replace(
        LMMREC,
        correspondence=dataclasses.replace(LMMREC.correspondence, teacher_view="encoder"),
    ),
    "lmmrec_no_encoder": dataclasses.replace(LMMREC, graph_encoder="none"),
}


@functools.cache
def interactions():
    """Users and items [120]; the last user and the last item have none."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, NUM_USERS - 1, 120), rng.integers(0, NUM_ITEMS - 1, 120)
    return users.astype(np.int32), items.astype(np.int32)


def context(mesh=None):
    """Graph and text; two users and two items have no text, and their rows hold what nobody may read."""
    users, items = interactions()
    rng = np.random.default_rng(1)
    user_mask, item_mask = np.ones(NUM_USERS, bool), np.ones(NUM_ITEMS, bool)
    user_mask[[1, 5]] = item_mask[[0, 7]] = False
    ctx = Context(
        graph=build_graph(users, items, NUM_USERS, NUM_ITEMS),
        user_text=rng.normal(size=(NUM_USERS, TEXT_DIM)).astype(np.float32),
        item_text=rng.normal(size=(NUM_ITEMS, TEXT_DIM)).astype(np.float32),
        user_text_mask=user_mask,
        item_text_mask=item_mask,
        item_counts=np.bincount(items, minlength=NUM_ITEMS).astype(np.int32),
        item_singular_vectors=singular_vectors().astype(np.float32),
        histories=histories(),
        item_features={name: rng.normal(size=(NUM_ITEMS, width)).astype(np.float32) for name, width in WIDTHS.items()},
        item_feature_masks={"image": item_mask, "text": ~item_mask | (np.arange(NUM_ITEMS) > 2)},
        item_fields={"brand": (np.arange(NUM_ITEMS) % 4).astype(np.int32)},
        # Of every user a list of all items.
        ranked_items=np.random.default_rng(5).permuted(
            np.tile(np.arange(NUM_ITEMS, dtype=np.int32), (NUM_USERS, 1)), axis=1
        ),
        user_fields={
            "age": (np.arange(NUM_USERS) % 3).astype(np.int32),
            "gender": (np.arange(NUM_USERS) // 2 % 3).astype(np.int32),
        },
        user_field_sizes=(3, 3),
        user_numbers={"activity": rng.normal(size=NUM_USERS).astype(np.float32)},
        user_number_masks={"activity": np.arange(NUM_USERS) % 5 > 0},
        mesh=mesh,
    )
    return jax.tree.map(jnp.asarray, ctx)


def sequences():
    """Each user's interactions in order, at most MAX_LENGTH + 1 of them, of users with two or more."""
    users, items = interactions()
    own = [items[users == user][-MAX_LENGTH - 1 :] for user in range(NUM_USERS)]
    return {user: events for user, events in enumerate(own) if len(events) > 1}


def histories():
    """Two behaviours [U, MAX_LENGTH] int32; every third user has no auxiliary event, the last has none at all."""
    tables = np.zeros((2, NUM_USERS, MAX_LENGTH), np.int32)
    for user, events in sequences().items():
        for table, shown in zip(tables, (events[::-1] if user % 3 else events[:0], events[:-1]), strict=True):
            shown = shown[-MAX_LENGTH:]
            table[user, MAX_LENGTH - len(shown) :] = shown + 1
    return tuple(tables)


def training_batch(config, num_real=13):
    """A batch of what the config asks for: triples, a stream of sequences, or targets with their histories."""
    kind = getattr(config, "input", "pairs")
    if kind == "pairs":
        return batch(num_real=num_real)
    real = np.arange(16) < num_real
    if kind == "stream":
        of_users = sequences()
        lengths = np.array([len(events) for events in of_users.values()])
        flat = Sequences(
            np.array(list(of_users), np.int32),
            (np.cumsum(lengths) - lengths).astype(np.int32),
            (lengths - 1).astype(np.int32),
            np.concatenate(list(of_users.values())),
        )
        num_blocks, block = stream_blocks(4, MAX_LENGTH)
        ordered = flat.ordered(np.arange(len(lengths)), np)
        rows = stream_rows(ordered, 20, 4, 4, num_blocks * block - 4, MAX_LENGTH, np)
        rows["mask"] = real.reshape(4, 4)
    else:
        tables = histories()
        users = np.random.default_rng(2).permutation(NUM_USERS)[:16].astype(np.int32)
        rows = {
            "user_ids": users,
            "target_item_ids": np.random.default_rng(3).integers(0, NUM_ITEMS, 16).astype(np.int32),
            "mask": real,
            "histories": tuple(table[users] for table in tables),
        }
        rows["histories"][-1][1] = 0  # a real row without an event of the target behaviour
    if getattr(config, "num_negatives", 0):
        shape = (*rows["mask"].shape, config.num_negatives)
        rows["negative_item_ids"] = np.random.default_rng(4).integers(0, NUM_ITEMS, shape).astype(np.int32)
    return jax.tree.map(jnp.asarray, rows)


def batch(size=16, num_real=13, seed=2):
    """Training triples; users and items repeat, the last rows are masked."""
    rng = np.random.default_rng(seed)
    users, items = interactions()
    rows = rng.choice(len(users), size, replace=False)
    return {
        "user_ids": jnp.asarray(users[rows]),
        "item_ids": jnp.asarray(items[rows]),
        "negative_item_ids": jnp.asarray(rng.integers(0, NUM_ITEMS, size), jnp.int32),
        "mask": jnp.arange(size) < num_real,
    }


def mesh_of(data, model):
    """Mesh over the first data * model simulated devices."""
    devices = np.asarray(jax.devices()[: data * model]).reshape(data, model)
    return Mesh(devices, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def dense_adjacency():
    """Symmetrically normalised adjacency [N, N] float64, from the interactions alone."""
    users, items = interactions()
    adjacency = np.zeros((NUM_USERS + NUM_ITEMS,) * 2)
    adjacency[users, NUM_USERS + items] = adjacency[NUM_USERS + items, users] = 1.0
    degrees = adjacency.sum(1)
    scale = np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1)), 0)
    return scale[:, None] * adjacency * scale[None, :]


def singular_vectors():
    """First right singular vectors [I, d] float64 of the normalised interactions."""
    return np.linalg.svd(dense_adjacency()[:NUM_USERS, NUM_USERS:])[2][:NUM_SINGULAR_VECTORS].T
