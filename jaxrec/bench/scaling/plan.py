"""The tables of docs/scaling.md: what runs larger than any measured here cost each device, by the formulas."""

from __future__ import annotations

from jaxrec.bench.scaling import costs
from jaxrec.bench.scaling.families import told as told_by_row
from jaxrec.bench.scaling.parameters import held
from jaxrec.bench.scaling.programs import Sizes
from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.lora import LoRAConfig
from jaxrec.models.m3bsr import M3BSRConfig
from jaxrec.models.mcln import MCLNConfig
from jaxrec.models.uim import UiMConfig
from jaxrec.models.vbpr import VBPRConfig

USERS, ITEMS, EDGES = 10**8, 10**7, 10**10
DIM, BATCH = 64, 8192
SEVEN_BILLION = DecoderConfig(32000, 4096, 11008, 32, 32, 32, 128, 4096, dtype="bfloat16")
"""The sizes of Llama 2 7B."""
ADAPTERS = LoRAConfig(rank=8)
Rows = list[tuple[str, ...]]


def tables() -> str:
    """All tables as Markdown."""
    parts = [
        ("Tables by feature: BPR-MF, d 64, batch 8,192", _by_feature()),
        ("The graph: LightGCN, d 64, 3 layers, batch 8,192", _graph()),
        ("Rows in blocks and features: LightGCN, a layout that is not built", _blocks()),
        ("Items by vocabulary: SASRec, d 64, histories of 50, 4,096 targets a device", _by_vocabulary()),
        ("Batches by row: d 64, M3BSR's 128; 8,192 pairs or targets with histories of 50, two modalities", _by_row()),
        ('A ranker of 7 billion: tuning adapters, 8 rows of 1,024 tokens for each share of "data"', _tuning()),
        (
            'A ranker of 7 billion: ranking 8 users for each share of "data", prompts of 512, 64 tokens of candidates',
            _ranking(),
        ),
    ]
    return "\n\n".join(f"### {title}\n\n{_markdown(rows)}" for title, rows in parts) + "\n"


def gigabytes(count: float) -> str:
    """With three digits: 12.3 GB, 45.6 kB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            value = count / size
            return (
                f"{value:.2f} {unit}" if value < 10 else f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
            )
    return f"{count:.0f} B"


def _by_feature() -> Rows:
    rows: Rows = [("devices", "parameters", "with gradient and Adam", "pairs of 10^10 on the device", "told a step")]
    for devices in (1, 8, 16, 64):
        trained = costs.trained_bytes(costs.table_bytes(USERS + ITEMS, DIM, devices))
        told = sum(costs.pair_messages(BATCH, devices).values())
        pairs = costs.pairs_bytes(USERS, EDGES)
        rows.append((str(devices), *map(gigabytes, (trained["parameters"], sum(trained.values()), pairs, told))))
    return rows


def _graph() -> Rows:
    rows: Rows = [("edges", "devices", "graph on each", "table and Adam", "beside them in a step", "told a step")]
    for edges in (10**8, 10**9, EDGES):
        for devices in (8, 64):
            table = costs.table_bytes(USERS + ITEMS, DIM, devices)
            trained = costs.trained_bytes(table)
            held = (
                costs.graph_bytes(USERS, ITEMS, edges),
                trained["parameters"] + trained["moments"],
                costs.lightgcn_temporary(USERS, ITEMS, DIM, edges, devices),
                sum(costs.pair_messages(BATCH, devices).values()),
            )
            rows.append((f"10^{len(str(edges)) - 1}", str(devices), *map(gigabytes, held)))
    return rows


def _blocks() -> Rows:
    rows: Rows = [("data x model", "graph on each", "table, gradient and Adam", "rows gathered", "told a step")]
    for data, model in ((8, 8), (16, 16), (64, 16)):
        found = costs.blocked_lightgcn_bytes(USERS, ITEMS, DIM, EDGES, 3, data, model)
        rows.append((f"{data} x {model}", *map(gigabytes, found.values())))
    return rows


def _by_vocabulary() -> Rows:
    rows: Rows = [("items", "devices", "table, gradient and Adam", "histories of 10^8 users", "told a step")]
    # Two layers of width 64, 256 inside, and 50 positions.
    encoder = 2 * (4 * DIM * DIM + 2 * 256 * DIM + 9 * DIM + 256) + 50 * DIM + 4 * DIM
    for items in (ITEMS, 10**9):
        for devices in (8, 64, 512):
            trained = sum(costs.trained_bytes(costs.table_bytes(items, DIM, devices)).values())
            told = sum(costs.sasrec_messages(64 * devices, 114, 64, DIM, encoder, devices).values())
            held = trained, costs.WORD * USERS * 50, told
            rows.append((f"10^{len(str(items)) - 1}", str(devices), *map(gigabytes, held)))
    return rows


def _by_row() -> Rows:
    rows: Rows = [("model", "devices", "parameters, gradient and Adam", "features on each", "told a step")]
    sizes = Sizes(USERS, ITEMS, EDGES // 10, BATCH, feature_widths=(512, 768))
    features = costs.WORD * ITEMS * sum(sizes.feature_widths)
    models = {
        "VBPR": VBPRConfig(),
        "MCLN": MCLNConfig(),
        "M3BSR": M3BSRConfig(),
        "UiM, fusion": UiMConfig(backbone="fusion"),
        "UiM, joint": UiMConfig(),
    }
    for name, config in models.items():
        for devices in (8, 64):
            trained = sum(costs.trained_bytes(costs.WORD * held(config, sizes, devices).total).values())
            told = sum(told_by_row(config, sizes, devices).values())
            rows.append((name, str(devices), *map(gigabytes, (trained, features, told))))
    return rows


def _tuning() -> Rows:
    config, lora = SEVEN_BILLION, ADAPTERS
    rows: Rows = [("data x model", "weights", "adapters and Adam", "states kept", "told a step")]
    for data, model in ((1, 1), (8, 1), (4, 2), (1, 8), (8, 8)):
        adapters = sum(costs.trained_bytes(costs.adapter_bytes(config, lora, model)).values())
        kept = 2 * config.num_layers * 8 * 1024 * config.hidden_size
        told = sum(costs.tuning_messages(config, lora, 1, 8 * data, 1024, 64, data, model, True).values())
        held = costs.decoder_bytes(config, model), adapters, kept, told
        rows.append((f"{data} x {model}", *map(gigabytes, held)))
    return rows


def _ranking() -> Rows:
    config = SEVEN_BILLION
    rows: Rows = [("data x model", "weights", "logits", "told a call", "told a user")]
    for data, model in ((1, 1), (4, 2), (2, 4), (1, 8)):
        told = sum(costs.ranking_messages(config, 8 * data, 512, 64, data, model).values())
        logits = costs.WORD * 8 * 65 * config.vocab_size // model
        rows.append(
            (f"{data} x {model}", *map(gigabytes, (costs.decoder_bytes(config, model), logits, told, told / 8)))
        )
    return rows


def _markdown(rows: Rows) -> str:
    head, *body = rows
    lines = [head, ("---:",) * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
