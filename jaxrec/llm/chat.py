"""Messages to the text that a chat model was trained on, by the checkpoint's own template or a built-in form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from jaxrec.errors import UserError
from jaxrec.llm.tokenizer import Tokenizer

Role = Literal["system", "user", "assistant"]
_ZERO_WIDTH_SPACE = "\u200b"
# What marks turns in templates without being a token of its own.
_PLAIN_MARKERS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<|system|>", "<|user|>", "<|assistant|>")


def chat_prompt(tokenizer: Tokenizer, messages: Sequence[tuple[str, str]]) -> list[int]:
    """Tokens of a conversation of (role, content), up to where the assistant's answer begins.

    Whatever a message contains stays text: control tokens that it spells out are broken up, so that it cannot end
    its own turn.
    Raises: UserError where the template cannot be run.
    """
    markers = (*tokenizer.special_texts, *_PLAIN_MARKERS)
    safe = [(role, defuse(content, markers)) for role, content in messages]
    if tokenizer.chat_template is None:
        return tokenizer.encode(_built_in(tokenizer, safe))
    return tokenizer.encode(_by_template(tokenizer, safe))


def defuse(text: str, markers: Sequence[str]) -> str:
    """The text with a zero-width space after the first character of each marker in it, also of those that overlap."""
    inside = (f"(?<={re.escape(marker[0])})(?={re.escape(marker[1:])})" for marker in markers if len(marker) > 1)
    pattern = "|".join(inside)
    return re.sub(pattern, _ZERO_WIDTH_SPACE, text) if pattern else text


def _by_template(tokenizer: Tokenizer, messages: Sequence[tuple[str, str]]) -> str:
    try:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise UserError(f"{tokenizer.source}: its chat template needs `pip install 'jaxrec[llm]'`") from error

    def refuse(reason: Any) -> NoReturn:
        raise jinja2.TemplateError(str(reason))

    # A checkpoint's template is a stranger's program: the sandbox keeps it to the messages.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    try:
        return environment.from_string(tokenizer.chat_template or "").render(
            messages=[{"role": role, "content": content} for role, content in messages],
            bos_token=tokenizer.bos,
            eos_token=tokenizer.eos,
            add_generation_prompt=True,
        )
    # A template fails in whatever way its expressions do.
    except (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{tokenizer.source}: the chat template cannot be run ({reason})") from error


def _built_in(tokenizer: Tokenizer, messages: Sequence[tuple[str, str]]) -> str:
    """The form that the control tokens point to: ChatML, Llama 3, or Llama 2."""
    specials = tokenizer.special_texts
    if "<|im_start|>" in specials:
        return "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages) + (
            "<|im_start|>assistant\n"
        )
    if "<|start_header_id|>" in specials:
        turns = "".join(
            f"<|start_header_id|>{role}<|end_header_id|>\n\n{content.strip()}<|eot_id|>" for role, content in messages
        )
        return f"{tokenizer.bos}{turns}<|start_header_id|>assistant<|end_header_id|>\n\n"
    text, system = "", ""
    for role, content in messages:
        if role == "system":
            system = f"<<SYS>>\n{content.strip()}\n<</SYS>>\n\n"
        elif role == "user":
            text += f"{tokenizer.bos}[INST] {system}{content.strip()} [/INST]"
            system = ""
        else:
            text += f" {content.strip()} {tokenizer.eos}"
    return text
