"""BPR triples from a PyTorch DataLoader, a record at a time, as pairwise training scripts have it.

Run with the path of an .npz of the pairs; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import random
import sys
import time

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

data = np.load(sys.argv[1])
num_items, batch_size = int(data["num_items"]), int(data["batch_size"])
users, items = data["user_ids"].tolist(), data["item_ids"].tolist()


class Triples(Dataset):
    """User, item and an item drawn until it is not the user's."""

    def __init__(self):
        self.positives = [set() for _ in range(max(users) + 1)]
        for user, item in zip(users, items, strict=True):
            self.positives[user].add(item)

    def __len__(self):
        return len(users)

    def __getitem__(self, index):
        user = users[index]
        negative = random.randrange(num_items)
        while negative in self.positives[user]:
            negative = random.randrange(num_items)
        return user, items[index], negative


triples = Triples()
for line in sys.stdin:
    workers = json.loads(line)["workers"]
    loader = DataLoader(triples, batch_size, shuffle=True, num_workers=workers)
    start = time.perf_counter()
    total = sum(len(batch[0]) for batch in loader)
    answer = {"seconds": time.perf_counter() - start, "triples": total, "torch": torch.__version__}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
