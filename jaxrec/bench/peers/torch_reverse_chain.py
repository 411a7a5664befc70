"""The reverse chain of a conditional diffusion in PyTorch, one step after the other.

Run with the path of an .npz of the workload; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import os
import sys
import time

import numpy as np
import torch

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
data = {name: torch.from_numpy(values) for name, values in np.load(sys.argv[1]).items()}


@torch.no_grad()
def chain():
    """h_0 of the workload."""
    state = data["start"]
    for step in range(len(data["keep"]) - 1, -1, -1):
        read = torch.cat([state, data["condition"], data["time"][step].expand_as(state)], -1)
        predicted = torch.nn.functional.gelu(read @ data["kernel_in"], approximate="tanh") @ data["kernel_out"]
        state = (state - data["removal"][step] * predicted) / data["keep"][step]
    return state


def answer(question):
    """What is asked: the result, or timed chains."""
    if question["do"] == "result":
        np.save(question["path"], chain().numpy())
        return {}
    start = time.perf_counter()
    for _ in range(question["count"]):
        chain()
    return {"seconds": time.perf_counter() - start}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
