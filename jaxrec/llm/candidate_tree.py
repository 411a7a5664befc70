"""The candidates of one prompt as a tree of tokens: what several of them begin with is computed once.

A candidate's first token is read from the prompt's last logits, and each later one from the logits of the token before
it. So a candidate's last token is never fed to the decoder, and a candidate of one token feeds nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

MAX_NODES = 256
"""Nodes of a tree, unless one candidate needs more: their logits and the mask among them lie in memory at once."""


@dataclasses.dataclass
class Tree:
    """Tokens to feed after a prompt, each with its parent, and the tokens whose log-probabilities are asked for.

    tokens, parents, depths: one entry a node, parents before children; parent -1 is the prompt, whose children have
    depth 0. asked_at, asked_tokens, asked_by: for each token of each candidate the node whose logits say it (-1 is the
    prompt), the token, and the candidate's index.
    """

    tokens: list[int] = dataclasses.field(default_factory=list)
    parents: list[int] = dataclasses.field(default_factory=list)
    depths: list[int] = dataclasses.field(default_factory=list)
    asked_at: list[int] = dataclasses.field(default_factory=list)
    asked_tokens: list[int] = dataclasses.field(default_factory=list)
    asked_by: list[int] = dataclasses.field(default_factory=list)

    def visible(self, size: int) -> np.ndarray:
        """[size, size] bool: a node attends to its ancestors and to itself; rows beyond the nodes to themselves."""
        seen = np.eye(size, dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] |= seen[parent]
        return seen


def trees(candidates: Sequence[Sequence[int]], max_nodes: int = MAX_NODES) -> list[Tree]:
    """The candidates in as few trees as hold them in their order, each of at most max_nodes where one suffices."""
    made: list[Tree] = [Tree()]
    children: dict[tuple[int, int], int] = {}
    for index, candidate in enumerate(candidates):
        if made[-1].tokens and len(made[-1].tokens) + _missing(children, candidate) > max_nodes:
            made.append(Tree())
            children = {}
        _add(made[-1], children, index, candidate)
    return made


def _missing(children: dict[tuple[int, int], int], candidate: Sequence[int]) -> int:
    """How many nodes a candidate would add."""
    parent = -1
    for depth, token in enumerate(candidate[:-1]):
        if (parent, token) not in children:
            return len(candidate) - 1 - depth
        parent = children[parent, token]
    return 0


def _add(tree: Tree, children: dict[tuple[int, int], int], index: int, candidate: Sequence[int]) -> None:
    parent, last = -1, len(candidate) - 1
    for depth, token in enumerate(candidate):
        tree.asked_at.append(parent)
        tree.asked_tokens.append(token)
        tree.asked_by.append(index)
        if depth == last:
            return
        if (parent, token) not in children:
            children[parent, token] = len(tree.tokens)
            tree.tokens.append(token)
            tree.parents.append(parent)
            tree.depths.append(depth)
        parent = children[parent, token]
