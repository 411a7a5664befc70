"""Every model of the library by its name: an explicit table, filled by nothing but this file."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from jaxrec.errors import UserError
from jaxrec.models.base import Model
from jaxrec.models.bprmf import BPRMF, BPRMFConfig
from jaxrec.models.comirec import ComiRec, ComiRecConfig
from jaxrec.models.lightgcn import LightGCN, LightGCNConfig
from jaxrec.models.lmmrec import LMMRec, LMMRecConfig
from jaxrec.models.m3bsr import M3BSR, M3BSRConfig
from jaxrec.models.mcln import MCLN, MCLNConfig
from jaxrec.models.polycf import PolyCF, PolyCFConfig
from jaxrec.models.polycf_signal import PolyCFSignal, PolyCFSignalConfig
from jaxrec.models.popularity import Popularity, PopularityConfig
from jaxrec.models.random_order import RandomOrder, RandomOrderConfig
from jaxrec.models.ranked_lists import PALRConfig, RankedLists, SEALRConfig
from jaxrec.models.sasrec import SASRec, SASRecConfig
from jaxrec.models.uim import UiM, UiMConfig
from jaxrec.models.vbpr import VBPR, VBPRConfig
from jaxrec.models.weightedgcl import WeightedGCL, WeightedGCLConfig

CONFIGS: dict[str, type] = {
    config.name: config
    for config in (
        PopularityConfig,
        BPRMFConfig,
        LightGCNConfig,
        LMMRecConfig,
        WeightedGCLConfig,
        PolyCFConfig,
        PolyCFSignalConfig,
        SASRecConfig,
        M3BSRConfig,
        ComiRecConfig,
        VBPRConfig,
        MCLNConfig,
        UiMConfig,
        SEALRConfig,
        PALRConfig,
        RandomOrderConfig,
    )
}
_MODELS: dict[type, Callable[..., Model]] = {
    PopularityConfig: Popularity,
    BPRMFConfig: BPRMF,
    LightGCNConfig: LightGCN,
    LMMRecConfig: LMMRec,
    WeightedGCLConfig: WeightedGCL,
    PolyCFConfig: PolyCF,
    PolyCFSignalConfig: PolyCFSignal,
    SASRecConfig: SASRec,
    M3BSRConfig: M3BSR,
    ComiRecConfig: ComiRec,
    VBPRConfig: VBPR,
    MCLNConfig: MCLN,
    UiMConfig: UiM,
    SEALRConfig: RankedLists,
    PALRConfig: RankedLists,
    RandomOrderConfig: RandomOrder,
}


def config_class(name: str) -> type:
    """Config class of a model's name; UserError names the nearest and all there are."""
    if name not in CONFIGS:
        nearest = difflib.get_close_matches(name, CONFIGS, 1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UserError(f"model.name: found {name!r}, allowed: {', '.join(CONFIGS)}{hint}")
    return CONFIGS[name]


def build_model(config: Any, num_users: int, num_items: int) -> Model:
    """The model of a config, for so many users and items."""
    return _MODELS[type(config)](config, num_users, num_items)
