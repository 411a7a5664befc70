"""Capsule routing in PyTorch, forward and backward: over votes of each item for each capsule, or over items themselves.

Run with the path of an .npz of the workload; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import os
import sys
import time

import numpy as np
import torch

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
arrays = np.load(sys.argv[1])
data = {name: torch.from_numpy(values).requires_grad_(name != "logits") for name, values in arrays.items()}
first = data["logits"].transpose(1, 2).contiguous()


def squash(vectors):
    """Each vector [..., d] shorter than 1."""
    squares = (vectors**2).sum(-1, keepdim=True)
    return squares / (1 + squares) * vectors / torch.sqrt(squares + 1e-9)


def votes_of(name):
    """Votes [B, K, L, d]; [B, L, d] of one map for all capsules, which routing reads as they are."""
    items, kernel = data["items"], data[name]
    if name == "shared":
        return items @ kernel
    users, length, dim = items.shape
    if name == "capsule":
        votes = items.reshape(-1, dim) @ kernel.permute(1, 0, 2).reshape(dim, -1)
        return votes.view(users, length, -1, dim).permute(0, 2, 1, 3)
    votes = torch.bmm(items.transpose(0, 1), kernel.permute(0, 2, 1, 3).reshape(length, dim, -1))
    return votes.view(length, users, -1, dim).permute(1, 2, 0, 3)


def by_votes(name):
    """The loss of the workload over votes."""
    votes = votes_of(name)
    logits, early = first, votes.detach()
    for iteration in range(3):
        coupling = torch.softmax(logits, 1)
        read = votes if iteration == 2 else early
        if name == "shared":
            capsules = squash(torch.bmm(coupling, read))
            logits = torch.bmm(capsules, early.transpose(1, 2)) if iteration < 2 else logits
        else:
            capsules = squash(torch.matmul(coupling.unsqueeze(2), read))
            logits = torch.matmul(early, capsules.transpose(2, 3)).squeeze(-1) if iteration < 2 else logits
    return (capsules**2).sum()


def by_items():
    """The same loss with a map for each capsule, of aggregates instead of items."""
    items, kernel, logits = data["items"], data["capsule"], first
    for iteration in range(3):
        read, maps = (items, kernel) if iteration == 2 else (items.detach(), kernel.detach())
        sums = torch.bmm(torch.softmax(logits, 1), read)
        capsules = squash(torch.bmm(sums.transpose(0, 1), maps).transpose(0, 1))
        if iteration < 2:
            back = torch.bmm(capsules.transpose(0, 1), maps.transpose(1, 2)).transpose(0, 1)
            logits = torch.bmm(back, read.transpose(1, 2))
    return (capsules**2).sum()


def gradient(question):
    """Loss of what is asked; the gradients are left at the items and the kernel."""
    for values in data.values():
        values.grad = None
    loss = by_votes(question["map"]) if question["votes"] else by_items()
    loss.backward()
    return loss


def answer(question):
    """What is asked: the result, or timed gradients."""
    if question["do"] == "result":
        loss = gradient(question)
        gradients = {"items": data["items"].grad.numpy(), "kernel": data[question["map"]].grad.numpy()}
        np.savez(question["path"], loss=loss.item(), **gradients)
        return {}
    start = time.perf_counter()
    for _ in range(question["count"]):
        gradient(question)
    return {"seconds": time.perf_counter() - start}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
