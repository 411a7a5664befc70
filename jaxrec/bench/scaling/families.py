"""What a step of a model tells, from its settings and the sizes of data and batch."""

from __future__ import annotations

from typing import Any

from jaxrec.bench.scaling import row_messages
from jaxrec.bench.scaling.costs import Bytes
from jaxrec.bench.scaling.parameters import count, held
from jaxrec.bench.scaling.programs import Sizes, abstract_training
from jaxrec.models.comirec import ComiRecConfig
from jaxrec.models.m3bsr import M3BSRConfig
from jaxrec.models.mcln import MCLNConfig
from jaxrec.models.polycf import PolyCFConfig
from jaxrec.models.uim import UiMConfig
from jaxrec.models.vbpr import VBPRConfig
from jaxrec.models.weightedgcl import WeightedGCLConfig


def told(config: Any, sizes: Sizes, devices: int) -> Bytes:
    """The messages of one step, of a catalogue with more items than the batch reads; other models: costs.

    Losses over items are those of the defaults, a softmax over all items or over drawn ones.
    """
    size, whole = sizes.batch_size, held(config, sizes, devices).whole
    tokens = 1 + len(sizes.feature_widths)
    match config:
        case PolyCFConfig():
            return row_messages.polycf_messages(size, config.num_layers + 1, len(config.exponents), devices)
        case WeightedGCLConfig():
            return row_messages.weightedgcl_messages(size, config.dim, config.num_layers + 1, whole, devices)
        case VBPRConfig():
            return row_messages.vbpr_messages(size, config.dim, whole - sizes.items, devices)
        case MCLNConfig():
            return row_messages.mcln_messages(size, config.dim, tokens, whole, devices)
        case ComiRecConfig():
            draws = config.loss.num_negatives if config.loss.name == "sampled_softmax" else None
            return row_messages.comirec_messages(size, config.max_length, config.dim, whole, devices, draws)
        case M3BSRConfig():
            widths = config.max_length, sizes.fields, config.id_dim, config.dim
            return row_messages.m3bsr_messages(size, sizes.behaviors, *widths, whole, devices)
        case UiMConfig(backbone="fusion"):
            return row_messages.uim_messages(size, config.max_length, config.dim, whole, devices)
        case UiMConfig(backbone="joint"):
            behind = dict(abstract_training(config, sizes, None)[0].params["items"])
            del behind["nodes"]
            given = size, sizes.items, config.max_length, config.dim, tokens, config.mcln.num_blocks
            counts = count(behind), count(behind["modalities"]), whole
            return row_messages.joint_uim_messages(*given, *counts, devices)
    raise ValueError(f"found {type(config).__name__}, allowed: the models that share a batch by row")
