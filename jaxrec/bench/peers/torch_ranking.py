"""Full ranking in PyTorch: matmul, mask and top-k as RecBole's full sort does it, and counting ranks.

Run with the path of an .npz of the workload and a device; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import os
import sys
import time

import numpy as np
import torch

BLOCK = 1024

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
device = torch.device(sys.argv[2])
data = np.load(sys.argv[1])
users, items = (torch.from_numpy(data[name]).to(device) for name in ("users", "items"))
targets = torch.from_numpy(data["targets"].astype(np.int64)).to(device)
masked = (torch.from_numpy(data[key].astype(np.int64)).to(device) for key in ("masked_rows", "masked_items"))
masked_rows, masked_items = masked
cutoffs = [int(k) for k in data["cutoffs"]]
starts = np.searchsorted(data["masked_rows"], np.arange(0, len(users) + BLOCK, BLOCK))


def now():
    """Seconds, once the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def blocks():
    """Masked scores of a block of users, and their targets."""
    for number, start in enumerate(range(0, len(users), BLOCK)):
        scores = users[start : start + BLOCK] @ items.T
        masked = slice(starts[number], starts[number + 1])
        scores[masked_rows[masked] - start, masked_items[masked]] = -torch.inf
        yield scores, targets[start : start + BLOCK]


def ranks_by_topk():
    """Place of the target in the list of the longest cut-off, from 1; one more than the cut-off where it is absent."""
    longest = max(cutoffs)
    ranks = []
    for scores, target in blocks():
        found = torch.topk(scores, longest, dim=1)[1] == target[:, None]
        ranks.append(torch.where(found.any(1), found.int().argmax(1) + 1, longest + 1))
    return torch.cat(ranks)


def ranks_by_count():
    """1 + the items that score as high."""
    return torch.cat([(scores >= scores.gather(1, target[:, None])).sum(1) for scores, target in blocks()])


VARIANTS = {"topk": ranks_by_topk, "count": ranks_by_count}


def metrics(ranks):
    """Means of recall, ndcg and reciprocal rank: one target a user."""
    ranks = ranks.double()
    found = {}
    for k in cutoffs:
        hit = (ranks <= k).double()
        found[f"recall@{k}"] = float(hit.mean())
        found[f"ndcg@{k}"] = float((hit / torch.log2(ranks + 1)).mean())
        found[f"mrr@{k}"] = float((hit / ranks).mean())
    return found


def answer(question):
    """One timed evaluation by a variant, and its metrics."""
    start = now()
    found = metrics(VARIANTS[question["variant"]]())
    return {"seconds": now() - start, "metrics": found}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
