"""BPR-MF by SGD in PyTorch, eager, a step at a time over triples that lie ready.

Run with the path of an .npz of the workload; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import os
import sys
import time

import numpy as np
import torch

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
data = np.load(sys.argv[1])
triples = torch.from_numpy(data["triples"].astype(np.int64))
learning_rate = float(data["learning_rate"])


def steps():
    """All steps from the first tables on; the tables after them."""
    users, items = (torch.nn.Parameter(torch.from_numpy(data[name].copy())) for name in ("users", "items"))
    optimizer = torch.optim.SGD([users, items], lr=learning_rate)
    start = time.perf_counter()
    for user, positive, negative in triples:
        rows = users[user]
        margin = (rows * items[negative]).sum(1) - (rows * items[positive]).sum(1)
        loss = torch.nn.functional.softplus(margin).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start, users, items


for line in sys.stdin:
    question = json.loads(line)
    seconds, users, items = steps()
    if question["do"] == "result":
        np.savez(question["path"], users=users.detach().numpy(), items=items.detach().numpy())
    sys.stdout.write(json.dumps({"seconds": seconds}) + "\n")
    sys.stdout.flush()
