"""What the texts of one answer have said, so that each says something new: small models repeat themselves."""

from __future__ import annotations


class Repetition:
    """The texts of one answer as tokens. run: so many tokens in a row, at least two, may stand in them once.

    A rule of Paulus et al. (arXiv 1705.04304, section 2.5), here for the texts alone: the form repeats by nature.
    """

    def __init__(self, run: int) -> None:
        if run < 2:
            raise ValueError(f"run {run}; at least 2")
        self._run = run
        self._text: list[int] = []
        self._worded = False
        self._followers: dict[tuple[int, ...], set[int]] = {}
        self._texts: set[tuple[int, ...]] = set()

    def take(self, token: int, worded: bool) -> None:
        """The text goes on with a token. worded: it holds a letter or a digit."""
        before = tuple(self._text[1 - self._run :])
        if len(before) == self._run - 1:
            self._followers.setdefault(before, set()).add(token)
        self._text.append(token)
        self._worded |= worded

    def end(self) -> None:
        """The text has ended; the next one begins."""
        if self._text:
            self._texts.add(tuple(self._text))
        self._text, self._worded = [], False

    def again(self) -> list[int]:
        """Tokens that would complete a run that stands in this text or in one before."""
        return sorted(self._followers.get(tuple(self._text[1 - self._run :]), ()))

    @property
    def says_nothing_new(self) -> bool:
        """Whether the text, if it ended here, would hold signs alone or be one of those before."""
        return bool(self._text) and (not self._worded or tuple(self._text) in self._texts)
