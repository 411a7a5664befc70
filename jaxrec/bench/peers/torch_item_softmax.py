"""The softmax loss over all items in PyTorch: all scores at once, cross_entropy, autograd.

Run with the path of an .npz of the case and a device; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import os
import sys
import time

import numpy as np
import torch

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
device = torch.device(sys.argv[2])
data = np.load(sys.argv[1])
hidden, table = (torch.from_numpy(data[name]).to(device).requires_grad_() for name in ("hidden", "table"))
targets = torch.from_numpy(data["targets"].astype(np.int64)).to(device)


def now():
    """Seconds, once the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def step():
    """One loss and its gradients, left in .grad."""
    hidden.grad = table.grad = None
    loss = torch.nn.functional.cross_entropy(hidden @ table.T, targets)
    loss.backward()
    return loss.item()


def answer(question):
    """One timed step; its gradients are written where the question says so."""
    start = now()
    loss = step()
    seconds = now() - start
    if "save" in question:
        np.savez(question["save"], hidden=hidden.grad.cpu().numpy(), table=table.grad[: question["rows"]].cpu().numpy())
    return {"seconds": seconds, "loss": loss}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
