"""SASRec in PyTorch over padded rows (all positions, or one target a user) and over packed rows, eager or compiled.

Run with the path of an .npz of the workload and a device; answers questions of `jaxrec.bench.peer.Peer` on stdin.
"""

import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
device = torch.device(sys.argv[2])
data = dict(np.load(sys.argv[1]))
padded = data.pop("padded")
num_heads, num_layers = int(data.pop("num_heads")), int(data.pop("num_layers"))
max_length = padded.shape[2] - 1


def now():
    """Seconds, once the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def parameters():
    """Fresh parameters by name."""
    return {name: torch.nn.Parameter(torch.from_numpy(values.copy()).to(device)) for name, values in data.items()}


def norm(p, name, x):
    """Layer normalisation with its parameters."""
    return F.layer_norm(x, x.shape[-1:], p[name + ".scale"], p[name + ".bias"], 1e-6)


def dense(p, name, x):
    """A linear layer."""
    return x @ p[name + ".kernel"] + p[name + ".bias"]


def encode(p, tokens, positions, segments):
    """States [B, T, D] of tokens (id + 1, 0 is none) at their positions, each reading its own segment up to itself."""
    x = F.embedding((tokens - 1).clamp(min=0), p["items.embedding"]) + p["encoder.positions"][positions]
    x = norm(p, "encoder.embedding_norm", x) * (tokens > 0)[..., None]
    rows, length, width = x.shape
    allowed = torch.ones(length, length, dtype=torch.bool, device=device).tril()[None]
    allowed = allowed & (segments[:, :, None] == segments[:, None, :]) & (tokens > 0)[:, None, :]
    allowed = (allowed | torch.eye(length, dtype=torch.bool, device=device)[None])[:, None]
    for layer in range(num_layers):
        name = f"encoder.transformer.layer_{layer}."
        heads = dense(p, name + "attention.query_key_value", x).chunk(3, -1)
        query, key, value = (part.view(rows, length, num_heads, width // num_heads).transpose(1, 2) for part in heads)
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        read = dense(p, name + "attention.output", read.transpose(1, 2).reshape(rows, length, width))
        x = norm(p, name + "attention_norm", x + read)
        inside = F.gelu(dense(p, name + "network_in", x))
        x = norm(p, name + "network_norm", x + dense(p, name + "network_out", inside))
    return x


def padded_loss(p, tokens, targets):
    """Cross-entropy at all positions of padded rows, the usual form: scores of padding are computed and ignored."""
    positions = torch.arange(max_length, device=device)[None].expand_as(tokens)
    states = encode(p, tokens, positions, (tokens > 0).long())
    scores = states.reshape(-1, states.shape[-1]) @ p["items.embedding"].T
    return F.cross_entropy(scores, targets.reshape(-1) - 1, ignore_index=-1)


def last_loss(p, tokens, targets):
    """Cross-entropy at the last position alone, as prefix augmentation has it."""
    positions = torch.arange(max_length, device=device)[None].expand_as(tokens)
    states = encode(p, tokens, positions, (tokens > 0).long())[:, -1]
    return F.cross_entropy(states @ p["items.embedding"].T, targets[:, -1] - 1)


def packed_loss(p, tokens, targets, positions, segments):
    """Cross-entropy at the real positions of packed rows."""
    real = tokens > 0
    states = encode(p, tokens, positions, segments)[real]
    return F.cross_entropy(states @ p["items.embedding"].T, targets[real] - 1)


def pack(rows):
    """Sequences in rows of max_length, longest first, each into the first row with room."""
    lengths = (rows[:, :-1] > 0).sum(1)
    places, free = [], []
    for user in np.argsort(-lengths, kind="stable"):
        row = next((row for row, room in enumerate(free) if room >= lengths[user]), None)
        if row is None:
            row = len(free)
            free.append(max_length)
        places.append((user, row, max_length - free[row]))
        free[row] -= lengths[user]
    tokens, targets, positions, segments = np.zeros((4, len(free), max_length), np.int64)
    for number, (user, row, start) in enumerate(places):
        length = lengths[user]
        at = slice(start, start + length)
        tokens[row, at], targets[row, at] = rows[user, -length - 1 : -1], rows[user, -length:]
        positions[row, at], segments[row, at] = np.arange(max_length - length, max_length), number + 1
    return tuple(torch.from_numpy(part).to(device) for part in (tokens, targets, positions, segments))


halves = [
    (
        torch.from_numpy(rows[:, :-1].astype(np.int64)).to(device),
        torch.from_numpy((rows[:, 1:] * (rows[:, :-1] > 0)).astype(np.int64)).to(device),
    )
    for rows in padded
]
BATCHES = {"padded": halves, "last": halves, "packed": [pack(rows) for rows in padded]}
LOSSES = {"padded": padded_loss, "last": last_loss, "packed": packed_loss}


class Training:
    """One variant's parameters and optimiser."""

    def __init__(self, form, compiled):
        self.form, self.parameters, self.count = form, parameters(), 0
        if compiled:
            torch._dynamo.config.recompile_limit = max(8, len(padded))  # packed batches have a shape each
        self.loss = torch.compile(LOSSES[form], dynamic=False) if compiled else LOSSES[form]
        self.optimizer = torch.optim.Adam(self.parameters.values(), lr=1e-3)

    def backward(self, batch):
        """Loss of a batch; leaves the gradient in the parameters."""
        loss = self.loss(self.parameters, *batch)
        self.optimizer.zero_grad()
        loss.backward()
        return float(loss.detach())

    def step(self):
        """One optimiser step; how many targets it had."""
        batch = BATCHES[self.form][self.count % len(padded)]
        self.count += 1
        loss = self.backward(batch)
        assert math.isfinite(loss)
        self.optimizer.step()
        return len(batch[0]) if self.form == "last" else int((batch[0] > 0).sum())


trainings = {}


def answer(question):
    """What is asked: a gradient, or timed steps."""
    if question["do"] == "gradient":
        training = Training(question["form"], False)
        loss = training.backward(BATCHES[question["form"]][0])
        np.savez(question["path"], **{name: value.grad.cpu().numpy() for name, value in training.parameters.items()})
        return {"loss": loss}
    key = question["form"], question["compiled"]
    if key not in trainings:
        trainings[key] = Training(*key)
        for _ in range(len(padded)):  # the batches' shapes differ where rows are packed, and each compiles
            trainings[key].step()
    start = now()
    targets = sum(trainings[key].step() for _ in range(question["steps"]))
    return {"seconds": now() - start, "targets": targets}


for line in sys.stdin:
    sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
    sys.stdout.flush()
