"""Answers that are lists: given entries alone can come out, each once, with the same text between any two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class ListMask:
    """A TokenMask (see jaxrec.llm.generate) for one list.

    firsts: the tokens of each entry where the list begins with it. nexts: where it follows another, with what stands
    between them. count: so many entries, all where there are fewer. stop_tokens: what ends an answer. An entry may
    begin with the whole of another, as 12 with 1: then what the model says next decides, in the last place too, where
    a stop token or a separator says that the entry is whole.

    Raises: ValueError for no entry, an entry without tokens, or two that are spelled alike.
    """

    def __init__(
        self,
        firsts: Sequence[Sequence[int]],
        nexts: Sequence[Sequence[int]],
        count: int,
        stop_tokens: Sequence[int] = (),
    ) -> None:
        if count < 1 or not firsts or len(firsts) != len(nexts):
            raise ValueError(f"{count} of {len(firsts)} first and {len(nexts)} next entries: nothing to choose from")
        self._tree, self._next = _Tree(firsts), _Tree(nexts)
        self._count, self._stop_tokens = min(count, len(firsts)), tuple(stop_tokens)
        self._node, self._chosen, self._finished = 0, [], False

    @property
    def finished(self) -> bool:
        """See TokenMask."""
        return self._finished

    @property
    def chosen(self) -> list[int]:
        """The places of the entries that are whole, in the order in which they came out."""
        entry = self._entry
        return [*self._chosen] if entry is None else [*self._chosen, entry]

    def allowed(self) -> np.ndarray:
        """See TokenMask; as long as the largest token that may follow needs."""
        tokens = self._tree.following(self._node)
        entry = self._entry
        if entry is not None:
            tokens += self._next.following(0, without=entry)
            tokens += self._stop_tokens if self._last else ()
        may = np.zeros(max(tokens, default=-1) + 1, bool)
        may[tokens] = True
        return may

    def take(self, token: int) -> None:
        """See TokenMask. Raises: ValueError for a token that is not allowed."""
        if self._finished:
            raise ValueError(f"token {token}: the list is finished")
        node, entry = self._tree.step(self._node, token), self._entry
        if node is None:
            if entry is None or token not in self._next.following(0, without=entry):
                raise ValueError(f"token {token}: not allowed here")
            if self._last:
                # What would begin one more entry only says that this one goes no further.
                self._finished = True
                return
            self._chosen.append(entry)
            self._next.drop(entry)
            self._tree = self._next
            node = self._tree.step(0, token)
            assert node is not None
        self._node = node
        self._finished = self._last and self._entry is not None and not self._tree.following(node)

    @property
    def _entry(self) -> int | None:
        """The entry that is whole here; others may go on."""
        return self._tree.entries.get(self._node)

    @property
    def _last(self) -> bool:
        return len(self._chosen) == self._count - 1


def longest_list(firsts: Sequence[Sequence[int]], nexts: Sequence[Sequence[int]], count: int) -> int:
    """The most tokens that an answer under such a mask can have, its stop token included."""
    lengths = sorted((max(map(len, both)) for both in zip(firsts, nexts, strict=True)), reverse=True)
    return sum(lengths[:count]) + 1


class _Tree:
    """Entries by their tokens; node 0 is the root. entries: node -> the entry that is whole there."""

    def __init__(self, entries: Sequence[Sequence[int]]) -> None:
        self.entries: dict[int, int] = {}
        self._children: list[dict[int, int]] = [{}]
        self._left = [len(entries)]
        self._paths: list[list[int]] = []
        for entry, tokens in enumerate(entries):
            self._paths.append(self._add(tokens))
            end = self._paths[-1][-1]
            if not len(tokens) or end in self.entries:
                other = f"the same tokens as entry {self.entries[end]}" if len(tokens) else "no tokens"
                raise ValueError(f"entry {entry}: found {other}, allowed: tokens of its own")
            self.entries[end] = entry

    def following(self, node: int, without: int | None = None) -> list[int]:
        """Tokens that lead on to an entry that is left; `without`: to another than this one."""
        taken = set() if without is None else set(self._paths[without])
        return [token for token, child in self._children[node].items() if self._left[child] > (child in taken)]

    def step(self, node: int, token: int) -> int | None:
        """The node behind a token, None where it leads to no entry that is left."""
        child = self._children[node].get(token)
        return child if child is not None and self._left[child] else None

    def drop(self, entry: int) -> None:
        """The entry is not left any more."""
        for node in self._paths[entry]:
            self._left[node] -= 1
        del self.entries[self._paths[entry][-1]]

    def _add(self, tokens: Sequence[int]) -> list[int]:
        path = [0]
        for token in tokens:
            child = self._children[path[-1]].setdefault(token, len(self._left))
            if child == len(self._left):
                self._children.append({})
                self._left.append(0)
            self._left[child] += 1
            path.append(child)
        return path
