"""LightGCN in PyTorch, in the form of LightGCN-PyTorch and RecBole (sparse COO, autograd) and in a tuned one.

Run with the path of an .npz of the workload and a device; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import os
import sys
import time
import warnings

import numpy as np
import torch

warnings.filterwarnings("ignore", message="(?i)sparse")
torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
device = torch.device(sys.argv[2])
data = np.load(sys.argv[1])
num_users, num_items = int(data["num_users"]), int(data["num_items"])
num_layers, l2, learning_rate = int(data["num_layers"]), float(data["l2"]), float(data["learning_rate"])
num_nodes = num_users + num_items
user_ids, item_ids = data["user_ids"].astype(np.int64), data["item_ids"].astype(np.int64)
batches = [tuple(torch.from_numpy(part.astype(np.int64)).to(device) for part in batch) for batch in data["batches"]]


def now():
    """Seconds, once the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def adjacency():
    """D^-1/2 A D^-1/2 in COO and in CSR."""
    rows = np.concatenate([user_ids, item_ids + num_users])
    columns = np.concatenate([item_ids + num_users, user_ids])
    degree = np.bincount(rows, minlength=num_nodes)
    values = (degree[rows] ** -0.5 * degree[columns] ** -0.5).astype(np.float32)
    shape = (num_nodes, num_nodes)
    coo = torch.sparse_coo_tensor(np.stack([rows, columns]), torch.from_numpy(values), shape).coalesce()
    order = np.lexsort((columns, rows))
    indptr = np.concatenate([[0], np.cumsum(degree)]).astype(np.int32)
    csr = torch.sparse_csr_tensor(
        torch.from_numpy(indptr),
        torch.from_numpy(columns[order].astype(np.int32)),
        torch.from_numpy(values[order]),
        shape,
    )
    return coo.to(device), csr.to(device)


coo, csr = adjacency()


class Symmetric(torch.autograd.Function):
    """A = A^T: the backward product is the forward one, so that no transpose is taken."""

    @staticmethod
    def forward(ctx, nodes):  # noqa: D102
        return torch.sparse.mm(csr, nodes)

    @staticmethod
    def backward(ctx, gradient):  # noqa: D102
        return torch.sparse.mm(csr, gradient.contiguous())


PRODUCTS = {"coo": lambda nodes: torch.sparse.mm(coo, nodes), "csr_symmetric": Symmetric.apply}


class Training:
    """One variant's embeddings and optimiser."""

    def __init__(self, variant):
        self.product = PRODUCTS[variant]
        self.embeddings = torch.nn.Parameter(torch.from_numpy(data["embeddings"].copy()).to(device))
        self.optimizer = torch.optim.Adam([self.embeddings], lr=learning_rate)

    def propagate(self):
        """Mean of all layers."""
        layers = [self.embeddings]
        for _ in range(num_layers):
            layers.append(self.product(layers[-1]))
        return torch.stack(layers, dim=1).mean(dim=1)

    def backward(self, users, positives, negatives):
        """Loss of a batch; leaves the gradient in the parameter."""
        ego, nodes = self.embeddings, self.propagate()
        rows = (users, positives + num_users, negatives + num_users)
        user, positive, negative = (nodes[row] for row in rows)
        margin = (user * negative).sum(1) - (user * positive).sum(1)
        loss = torch.nn.functional.softplus(margin).mean()
        loss = loss + l2 * sum((ego[row] ** 2).sum() for row in rows) / 2 / len(users)
        self.optimizer.zero_grad()
        loss.backward()
        return float(loss.detach())

    def step(self, batch):
        """One optimiser step."""
        loss = self.backward(*batch)
        self.optimizer.step()
        return loss


trainings = {}
first = torch.from_numpy(data["embeddings"]).to(device)
rng = np.random.default_rng(0)


def sample_epoch():
    """As LightGCN-PyTorch's Python sampler: a user, one of its items, an item drawn until it is not the user's."""
    items_of = np.split(item_ids, np.cumsum(np.bincount(user_ids, minlength=num_users))[:-1])
    positives_of = [set(items.tolist()) for items in items_of]
    triples = []
    for user in rng.integers(0, num_users, len(user_ids)):
        items = items_of[user]
        if len(items) == 0:
            continue
        positive = items[rng.integers(0, len(items))]
        negative = rng.integers(0, num_items)
        while negative in positives_of[user]:
            negative = rng.integers(0, num_items)
        triples.append((user, positive, negative))
    return np.array(triples)


@torch.no_grad()
def rank(embeddings, block=1024):
    """Recall and nDCG of one target a user: all scores, training items masked, top-k, as full sorting has it."""
    training = Training("coo")
    training.embeddings = embeddings
    users, items = training.propagate().split((num_users, num_items))
    targets, cutoffs = torch.from_numpy(data["targets"].astype(np.int64)).to(device), [int(k) for k in data["cutoffs"]]
    masked = torch.from_numpy(user_ids).to(device), torch.from_numpy(item_ids).to(device)
    starts = np.searchsorted(user_ids, np.arange(0, num_users + block, block))
    places = []
    for number, start in enumerate(range(0, num_users, block)):
        scores, inside = users[start : start + block] @ items.T, slice(starts[number], starts[number + 1])
        scores[masked[0][inside] - start, masked[1][inside]] = -torch.inf
        found = torch.topk(scores, max(cutoffs), dim=1)[1] == targets[start : start + block, None]
        places.append(torch.where(found.any(1), found.int().argmax(1) + 1, num_items))
    ranks, metrics = torch.cat(places).double(), {}
    for k in cutoffs:
        hit = (ranks <= k).double()
        metrics[f"recall@{k}"], metrics[f"ndcg@{k}"] = float(hit.mean()), float((hit / torch.log2(ranks + 1)).mean())
    return metrics


def answer(question):
    """What is asked: a gradient, timed steps, a timed epoch's sampling, or a timed ranking of the first embeddings."""
    if question["do"] == "rank":
        start = now()
        metrics = rank(first)
        return {"seconds": now() - start, "metrics": metrics}
    if question["do"] == "sample":
        start = time.perf_counter()
        triples = sample_epoch()
        return {"seconds": time.perf_counter() - start, "triples": len(triples)}
    if question["do"] == "gradient":
        training = Training(question["variant"])
        loss = training.backward(*batches[0])
        np.save(question["path"], training.embeddings.grad.cpu().numpy())
        return {"loss": loss}
    if question["variant"] not in trainings:
        trainings[question["variant"]] = Training(question["variant"])
    training = trainings[question["variant"]]
    start = now()
    for step in range(question["steps"]):
        training.step(batches[step % len(batches)])
    return {"seconds": now() - start}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
