"""The text that a language model reads of one user, and the way back from it: parse(render(x)) == x.

Every line of a template holds at most one field, and no value may hold a line break; so a value is what stands between
the beginning and the end of its line, whatever words it has.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from jaxrec.models.sealr_config import PromptConfig
from jaxrec.precompute.prompts import read_prompt

PROMPTS = ("sealr", "sealr_without_sentiment", "palr")
SEPARATOR = ","
"""Between two values of a list; a blank follows it."""
_FIELDS = {
    "category": "category",
    "interaction history sequence": "history",
    "sentiment label sequence": "sentiments",
    "preference": "preference",
    "candidates": "candidates",
}
_ANSWER = "encoded item id"
_LISTS = ("history", "sentiments", "preference", "candidates")
_FIELD = re.compile(r"\{([^{}\n]*)\}")
_BREAKS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What one prompt tells. history: oldest first; sentiments: one each, () where none are told.

    candidates: as they are shown. preference: of PALR. No value is empty, begins or ends in a blank, or holds a comma
    or a line break.
    """

    category: str
    history: tuple[str, ...]
    candidates: tuple[str, ...]
    sentiments: tuple[str, ...] = ()
    preference: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Template:
    """A prompt file up to where the answer begins.

    words: what stands before, between and behind the fields; the last ends in "Recommend Products:". fields: names of
    `Prompt` fields, in the order of the file.
    """

    name: str
    words: tuple[str, ...]
    fields: tuple[str, ...]


def template_of(config: PromptConfig) -> Template:
    """The template that the settings ask for; that of SEALR is Figure 3 of the paper, word for word."""
    without = config.template == "sealr" and not config.sentiment
    return read_template("sealr_without_sentiment" if without else config.template)


def read_template(name: str) -> Template:
    """One of PROMPTS. Raises: ValueError for a file with unknown fields, or two of them in one line."""
    text = read_prompt(name).text
    head, answer, rest = text.partition(f"{{{_ANSWER}}}")
    if not answer or rest or any(len(_FIELD.findall(line)) > 1 for line in text.split("\n")):
        raise ValueError(f"prompts/{name}.md: one field a line is needed, {{{_ANSWER}}} the last")
    parts = _FIELD.split(head.rstrip())
    unknown = [field for field in parts[1::2] if field not in _FIELDS]
    if unknown:
        raise ValueError(f"prompts/{name}.md: field {{{unknown[0]}}}; known are {', '.join(_FIELDS)}")
    return Template(name, tuple(parts[::2]), tuple(_FIELDS[field] for field in parts[1::2]))


def render(template: Template, prompt: Prompt) -> str:
    """The prompt, up to where the answer begins.

    Raises: ValueError for a value that could not be read back, or one that the template has no field for.
    """
    check_prompt(template, prompt)
    pieces = [template.words[0]]
    for field, words in zip(template.fields, template.words[1:], strict=True):
        values = listed(prompt, field)
        if field not in _LISTS:
            pieces.append(values[0])
        # A list that is empty leaves no blank at the end of its line.
        elif not values:
            pieces[-1] = pieces[-1].removesuffix(" ")
        else:
            pieces.append(_joined(values))
        pieces.append(words)
    return "".join(pieces)


def parse(template: Template, text: str) -> Prompt:
    """What a rendered prompt tells. Raises: ValueError for a text that the template does not give."""
    pattern = re.escape(template.words[0])
    for field, words in zip(template.fields, template.words[1:], strict=True):
        if field in _LISTS:
            pattern = pattern.removesuffix(re.escape(" ")) + f"(?P<{field}>(?: [^\n]+)?)"
        else:
            pattern += f"(?P<{field}>[^\n]+)"
        pattern += re.escape(words)
    found = re.fullmatch(pattern, text)
    if found is None:
        raise ValueError(f"the text is no prompt of template {template.name}")
    lists = {name: _split(value) for name, value in found.groupdict().items() if name in _LISTS}
    prompt = Prompt(category=found["category"], **({"history": (), "candidates": ()} | lists))
    check_prompt(template, prompt)
    return prompt


def answer_text(items: Sequence[str]) -> str:
    """What follows a prompt: a blank, then the items."""
    return " " + _joined(items)


def parse_answer(text: str) -> tuple[str, ...]:
    """The items of an answer, up to the end of its line; what is repeated or was never offered is among them."""
    return tuple(filter(None, (piece.strip() for piece in text.partition("\n")[0].split(SEPARATOR))))


def listed(prompt: Prompt, field: str) -> tuple[str, ...]:
    """The values of a field, of a single one too."""
    value = getattr(prompt, field)
    return value if isinstance(value, tuple) else (value,)


def check_prompt(template: Template, prompt: Prompt) -> None:
    """Raises: ValueError as `render` does."""
    for field in (field.name for field in dataclasses.fields(prompt)):
        values = listed(prompt, field)
        if values and field not in template.fields:
            raise ValueError(f"template {template.name} has no field for {field}")
        for value in values:
            if not value or value != value.strip() or _BREAKS.search(value) or (field in _LISTS and SEPARATOR in value):
                raise ValueError(f"{field}: {value!r} cannot be told apart from the words around it")
    if prompt.sentiments and len(prompt.sentiments) != len(prompt.history):
        raise ValueError(f"{len(prompt.sentiments)} sentiments for {len(prompt.history)} items; one each is needed")


def _joined(values: Sequence[str]) -> str:
    return f"{SEPARATOR} ".join(values)


def _split(text: str) -> tuple[str, ...]:
    return tuple(text[1:].split(f"{SEPARATOR} ")) if text else ()
