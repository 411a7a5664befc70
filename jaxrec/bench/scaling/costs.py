"""Bytes that a step costs each device, by formula: what devices tell each other, and what each of them holds.

Devices of a mesh (data, model). A message is told by the bytes of its result on one device, named by what it is about.
Every formula is that of the mesh that a model takes by default: graph models all devices on "model", sequence models
all on "data". On one device there are no messages. Numbers are float32 unless told otherwise, indices int32.
"""

from __future__ import annotations

from jaxrec.llm.config import DecoderConfig
from jaxrec.llm.lora import LoRAConfig
from jaxrec.nn.propagation_rows import ROOM, ROOM_AN_EDGE

Bytes = dict[str, int]
WORD = 4
"""Bytes of a float32 or an int32."""


def table_bytes(rows: int, dim: int, devices: int) -> int:
    """A device's share of a table, by feature or by row."""
    return WORD * -(-rows * dim // devices)


def trained_bytes(parameters: int) -> Bytes:
    """Parameters in bytes under Adam: themselves, their gradient, and its two moments."""
    return {"parameters": parameters, "gradient": parameters, "moments": 2 * parameters}


def graph_bytes(users: int, items: int, edges: int) -> int:
    """The graph as rows of users and of items with their values: all of it on every device.

    Of each edge two ends, two values and its place; of each node two scales and where its row begins.
    """
    return WORD * (5 * edges + (users + items + 2) + 2 * (users + items))


def pairs_bytes(users: int, pairs: int) -> int:
    """Training pairs, and the positives that negatives must not be: all of them on every device."""
    return WORD * (3 * pairs + users + 1)


def pair_messages(batch_size: int, devices: int) -> Bytes:
    """BPR-MF and LightGCN by feature: each pair's difference of scores, and the norm of the batch's rows."""
    return {} if devices == 1 else {"scores": WORD * batch_size, "norm": WORD}


def lmmrec_messages(
    batch_size: int, dim: int, layers: int, prototypes: int, tower_parameters: int, devices: int
) -> Bytes:
    """LMMRec over LightGCN, text given. layers: of motivations, the ego layer with them. Devices divide batch_size.

    Users, positives and negatives of the student, users and positives of the teacher: from shares of features to
    shares of rows, there and (the student's) back; then every device hears of all views.
    """
    if devices == 1:
        return {}
    row = WORD * batch_size * dim
    return {
        "scores": WORD * batch_size,
        "losses": 4 * WORD,
        "layers": layers * (3 + 2 + 3) * row // devices,
        "views": 2 * (3 + 2) * row + 2 * 3 * row // devices,
        # Users and items, each where it is compared and where it is mixed.
        "gradients": WORD * (2 * 2 * prototypes * dim + tower_parameters),
    }


def sasrec_messages(rows: int, inputs: int, targets: int, dim: int, encoder_parameters: int, devices: int) -> Bytes:
    """SASRec on a stream of `rows` rows with `inputs` tokens and `targets` targets each; rows divide by devices.

    The embeddings of the inputs are summed over the shares of the table; the states at the targets go to all shares of
    the softmax over items, which tell each other its sums. Nothing of it depends on the number of items.
    """
    if devices == 1:
        return {}
    tokens, losses = rows * inputs, rows * targets
    return {
        "inputs": WORD * (tokens + tokens * dim // devices),
        "gradients of inputs": WORD * tokens * dim,
        "states": WORD * losses * dim,
        "targets": losses * (2 * WORD + 1) + WORD,
        "softmax": 3 * WORD * losses,
        "gradients of states": WORD * losses * dim // devices,
        "gradients of the encoder": WORD * encoder_parameters,
    }


def tuning_messages(
    config: DecoderConfig,
    lora: LoRAConfig,
    micro_batches: int,
    rows: int,
    width: int,
    slots: int,
    data: int,
    model: int,
    remat: bool = False,
) -> Bytes:
    """A step of adapters of queries and values. rows: of a micro-batch, on all devices; slots: answer tokens of a row.

    Over "model" each layer sums its two parts forward, and backward what its split projections give back: two of the
    MLP, three of attention, and the low-rank side of each adapter. Over "data" the adapters' gradients are summed.
    """
    size = 2 if config.dtype == "bfloat16" else WORD
    states = rows // data * width * config.hidden_size
    found: Bytes = {}
    if model > 1:
        low = len(lora.targets) * rows // data * width * lora.rank
        turns = micro_batches * config.num_layers
        # Of what is computed anew in the backward pass only attention's sum is read.
        forward = 3 if remat else 2
        answers = rows // data * slots
        found |= {
            "layers": turns * size * (forward + 5) * states,
            "low-rank sides": turns * size * low,
            "embeddings": micro_batches * size * states,
            "logits": micro_batches * answers * (3 * WORD + size * config.hidden_size),
            "norm": 2 * WORD,
        }
    if data > 1:
        outs = {"attention/query": config.num_heads, "attention/value": config.num_kv_heads}
        wide = sum(config.hidden_size + outs[target] * config.head_dim // model for target in lora.targets)
        found |= {
            "gradients of adapters": micro_batches * config.num_layers * WORD * lora.rank * wide,
            "losses": micro_batches * WORD + WORD,
        }
    return found


def ranking_messages(config: DecoderConfig, prompts: int, width: int, nodes: int, data: int, model: int) -> Bytes:
    """A pass over prompts and their trees of candidates, but for the log-probabilities that are picked at its end."""
    if model == 1:
        return {}
    size = 2 if config.dtype == "bfloat16" else WORD
    states = prompts // data * (width + nodes) * config.hidden_size
    return {
        "layers": config.num_layers * size * 2 * states,
        "embeddings": size * states,
        "logits": 2 * WORD * prompts // data * (nodes + 1),
    }


def wire_bytes(kind: str, payload: float, devices: int) -> float:
    """What a device sends for a collective with that payload, in rings: no way to do it sends less in all."""
    share = (devices - 1) / devices
    factor = {"all-reduce": 2 * share, "reduce-scatter": devices - 1, "collective-permute": 1.0}
    return payload * factor.get(kind, share)


def lightgcn_temporary(users: int, items: int, dim: int, edges: int, devices: int) -> int:
    """At most what a LightGCN step on CPUs holds beside its state and inputs, of a batch that is small against them.

    Four tables: the gradient, two layers and their sum. And the edges of the batch's rows, cut out of the last layer:
    three eighths of all at most, twice, an end and a value each. The product from the batch's rows holds the other end
    of every edge anew, twice, where it has the room. The compiler keeps both, beside two tables.
    """
    table, cut = table_bytes(users + items, dim, devices), 2 * 2 * WORD * (3 * edges // 8)
    ends = ROOM_AN_EDGE * edges
    return max(4 * table + cut, 2 * table + cut + ends if ends <= max(ROOM, 2 * table) else 0)


def blocked_lightgcn_bytes(users: int, items: int, dim: int, edges: int, layers: int, data: int, model: int) -> Bytes:
    """LightGCN with rows in blocks over "data" and features over "model": a layout that is not built.

    Each device has the edges into its block of rows. For each layer, forward and backward, it gathers its features of
    all rows from the other blocks. told: what it gets in a step; gathered: the room that this takes.
    """
    whole = table_bytes(users + items, dim, model)
    return {
        "graph": graph_bytes(users, items, edges) // data,
        "state": sum(trained_bytes(table_bytes(users + items, dim, data * model)).values()),
        "gathered": whole if data > 1 else 0,
        "told": 2 * layers * whole if data > 1 else 0,
    }


def decoder_bytes(config: DecoderConfig, model: int) -> int:
    """A device's share of the decoder's weights, in the bytes of their type."""
    hidden, heads = config.hidden_size, config.head_dim * (2 * config.num_heads + 2 * config.num_kv_heads)
    split = config.num_layers * hidden * (heads + 3 * config.intermediate_size)
    split += (1 if config.tied_output else 2) * config.vocab_size * hidden
    return (2 if config.dtype == "bfloat16" else WORD) * (split // model + (2 * config.num_layers + 1) * hidden)


def adapter_bytes(config: DecoderConfig, lora: LoRAConfig, model: int) -> int:
    """A device's share of the adapters of queries and values: A whole, B by heads; float32."""
    outs = {"attention/query": config.num_heads, "attention/value": config.num_kv_heads}
    wide = sum(config.hidden_size + outs[target] * config.head_dim // model for target in lora.targets)
    return WORD * config.num_layers * lora.rank * wide
