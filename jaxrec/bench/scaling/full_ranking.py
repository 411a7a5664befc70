"""What devices tell each other to rank a block of users among all items, of which each device has its share."""

from __future__ import annotations

from jaxrec.bench.scaling.costs import WORD, Bytes


def full_ranking_messages(
    users: int, dim: int, devices: int, *, interests: int = 1, read: int = 0, num_items: int = 0, top: int = 0
) -> Bytes:
    """Bytes of results on one device, as jaxrec.bench.scaling.costs; none on one device.

    read: rows of a table by item that the block's histories read; 0 of tables by feature, whose num_items, made even
    among the devices, change places once an evaluation. "counts" is told in each pass over the block's targets, of
    which there are about as many as its best user has hits. top: items of each user's list, 0 where none is made;
    the lists of all users are gathered once more at the end.
    """
    if devices == 1:
        return {}
    told = {"vectors of users": WORD * users * interests * dim, "counts": 3 * WORD * users}
    if read:
        told |= {"ids": WORD * read, "rows": WORD * read * dim // devices}
    if num_items:
        told["items by row"] = WORD * num_items * dim // devices
    if top:
        told["lists"] = 2 * WORD * users * top  # each device merges those of its users
    return told
