"""What devices tell each other in a step of the models whose batch they share by row, by formula.

As jaxrec.bench.scaling.costs: bytes of results on one device, named by what they are about; none on one device. In all
of them devices divide batch_size; whole counts the numbers of the parameters that every device has (jaxrec.bench.
scaling.parameters), whose gradients are summed. Where a catalogue has no more items than a batch reads, M3BSR and UiM
compute it whole, which these formulas are not about.
"""

from __future__ import annotations

from jaxrec.bench.scaling.costs import WORD, Bytes, pair_messages


def polycf_messages(batch_size: int, layers: int, filters: int, devices: int) -> Bytes:
    """PolyCF: LightGCN's, and the gradient of what each filter makes of each layer, the ego layer with them."""
    if devices == 1:
        return {}
    return pair_messages(batch_size, devices) | {"gradients of filters": WORD * layers * filters}


def vbpr_messages(batch_size: int, dim: int, whole: int, devices: int) -> Bytes:
    """VBPR, tables by feature. whole: but for the items' biases, to which every device adds what all have found."""
    if devices == 1:
        return {}
    return {
        "ids": 2 * WORD * batch_size,
        "rows": 2 * (2 + 1 + 1) * WORD * batch_size * dim // devices,
        "gradients of biases": 2 * WORD * batch_size,
        "losses": 2 * 2 * WORD,
        "gradients": WORD * whole,
    }


def weightedgcl_messages(batch_size: int, dim: int, layers: int, whole: int, devices: int) -> Bytes:
    """WeightedGCL: LightGCN's, and users and positives from shares of features to shares of rows and back.

    layers: with the ego layer. whole: the excitation. Each row of a set is told from all candidates of that set.
    """
    if devices == 1:
        return {}
    rows = 2 * WORD * batch_size * dim
    return pair_messages(batch_size, devices) | {
        "layers": 2 * layers * rows // devices,
        "views": rows + rows // devices,
        "contrast": WORD,
        "gradients": WORD * whole,
    }


def mcln_messages(batch_size: int, dim: int, tokens: int, whole: int, devices: int) -> Bytes:
    """MCLN: users, positives, negatives and drawn items from shares of features to shares of rows, and back.

    tokens: of an item, its id and one a modality.
    """
    if devices == 1:
        return {}
    return {
        "rows": 2 * 4 * WORD * batch_size * dim // devices,
        # A loss and a number of rows for each token, and of what they are fused to; the norm in two layouts.
        "losses": WORD * ((tokens + 3) + (tokens + 2)),
        "gradients": WORD * whole,
    }


def comirec_messages(batch_size: int, length: int, dim: int, whole: int, devices: int, draws: int | None) -> Bytes:
    """ComiRec: histories of `length` items and their targets, items by row. draws: of the softmax; None: all items."""
    if devices == 1:
        return {}
    row, read = WORD * dim, batch_size * length
    told = {
        "ids": WORD * read,
        "rows": row * (read + batch_size) // devices,
        "gradients of rows": row * read,
        "gradients": WORD * whole,
    }
    if draws is None:
        return told | _softmax(batch_size, dim, devices)
    return told | {
        "ids": WORD * (read + 2 * batch_size),
        "targets": row * batch_size + row * batch_size // devices,
        "drawn": 2 * row * draws,
        "losses": 2 * WORD,
    }


def m3bsr_messages(
    batch_size: int, behaviors: int, length: int, fields: int, id_dim: int, dim: int, whole: int, devices: int
) -> Bytes:
    """M3BSR under a softmax over all items. fields: of items, beside the id; the user's id is a field, too."""
    if devices == 1:
        return {}
    row, read, tables = WORD * id_dim, batch_size * behaviors * length, 1 + fields
    return {
        # Of events and of users.
        "ids": WORD * (read + batch_size),
        "rows": row * (tables * read + batch_size) // devices,
        "gradients of rows": row * (tables * read + batch_size),
        "gradients": WORD * whole,
        # Contrast, modalities, and each behaviour but the deepest: a sum and a number of rows.
        "errors": 2 * WORD * (behaviors + 1),
    } | _softmax(batch_size, dim, devices)


def _softmax(batch_size: int, dim: int, devices: int) -> Bytes:
    """States that predict go to all shares of the items, which tell each other their sums (nn.item_softmax)."""
    row = WORD * batch_size * dim
    return {
        "targets": batch_size * (2 * WORD + 1) + WORD,
        "states": row + row // devices,
        "softmax": 3 * WORD * batch_size,
    }


def uim_messages(batch_size: int, length: int, dim: int, whole: int, devices: int) -> Bytes:
    """UiM with items of its own by row (backbone fusion): histories and targets, each of which all rows compare."""
    if devices == 1:
        return {}
    row, read = WORD * dim, batch_size * (length + 1)
    return {
        "ids": WORD * read + batch_size * (WORD + 1),
        "rows": row * read // devices,
        "gradients of rows": row * read,
        "targets": row * batch_size + row * batch_size // devices,
        "losses": 3 * WORD,
        "gradients": WORD * whole,
    }


def joint_uim_messages(
    batch_size: int,
    items: int,
    length: int,
    dim: int,
    tokens: int,
    blocks: int,
    behind: int,
    projections: int,
    whole: int,
    devices: int,
) -> Bytes:
    """UiM with MCLN behind it (backbone joint), nodes by feature over all devices.

    behind: parameters of MCLN beside its nodes, projections those of modalities among them; whole counts both. They are
    read for the batch, for its pairs and, as far as the mean attention asks for it, for the whole catalogue, of which
    each device has its items: their ids, and their gradients, are what grows with it.
    """
    if devices == 1:
        return {}
    row, read = WORD * dim, batch_size * (length + 1)
    return {
        "ids": WORD * read + batch_size * (3 * WORD + 1),
        "catalogue": 2 * row * -(-items // devices),
        "rows": 2 * row * (read + 4 * batch_size) // devices,
        "attention": 3 * blocks * WORD * tokens**2,
        "targets": row * batch_size + row * batch_size // devices,
        "losses": WORD * ((tokens + 5) + (tokens + 3)),
        "gradients": WORD * (whole + behind + projections),
    }
