"""A tokenizer for a tiny decoder, made of the words of its prompts; and one more token an item for any tokenizer.

Words that were given are one token each with the blank before them; digits stand alone, as the tokenizers of Llama 2
and SmolLM2 have it; all else is spelled in bytes, so that every text comes back as it was.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxrec.errors import UserError
from jaxrec.llm.tokenizer import TOKENIZER, TOKENIZER_CONFIG, Tokenizer, import_tokenizers

PAD, BEGIN, END = "<|pad|>", "<|begin|>", "<|end|>"
_WORD = r" ?\p{L}[\p{L}\p{M}]*| ?\p{N}| ?[^\s\p{L}\p{N}]|\s"
_MAX_WORDS = 8192
_SPELLED, _WHOLE = -10.0, -1.0
"""Log-probabilities: a word that has a token is never spelled in smaller ones."""
_DIGITS = "0123456789"
_BUILT = Path("the tiny decoder's tokenizer")


def tiny_tokenizer(texts: Iterable[str], new_tokens: Sequence[str] = ()) -> Tokenizer:
    """Of the most frequent words of the texts; the same texts in any order give the same tokenizer.

    Ids: pad 0, begin 1, end 2, then 256 bytes, digits, words, new_tokens. `end` ends an answer, `begin` begins a text.
    Raises: UserError where the package tokenizers is not installed.
    """
    tokenizers = import_tokenizers(_BUILT)
    splitter = tokenizers.pre_tokenizers.Split(tokenizers.Regex(_WORD), "isolated")
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        # The first word of a value, too, has a blank before it where it stands in a prompt.
        spaced = f"{text} {text}".encode("utf-8", "replace").decode()
        counts.update(word for word, _ in splitter.pre_tokenize_str(spaced))
    digits = [*_DIGITS, *(f" {digit}" for digit in _DIGITS)]
    often = sorted((-count, word) for word, count in counts.items() if word not in digits)
    words = sorted(word for _, word in often[:_MAX_WORDS])
    specials = [PAD, BEGIN, END]
    spelled = [f"<0x{byte:02X}>" for byte in range(256)]
    vocabulary = [*((token, _SPELLED) for token in specials + spelled), *((word, _WHOLE) for word in digits + words)]
    inner = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    inner.pre_tokenizer = splitter
    inner.decoder = tokenizers.decoders.Sequence([tokenizers.decoders.ByteFallback(), tokenizers.decoders.Fuse()])
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single=[BEGIN, "$A"], special_tokens=[(BEGIN, specials.index(BEGIN))]
    )
    inner.add_special_tokens([tokenizers.AddedToken(text, normalized=False, special=True) for text in specials])
    made = Tokenizer(
        inner=inner,
        stop_tokens=(specials.index(END),),
        bos=BEGIN,
        eos=END,
        special_texts=tuple(sorted(specials)),
        chat_template=None,
        source=_BUILT,
    )
    return with_item_tokens(made, new_tokens)


def with_item_tokens(tokenizer: Tokenizer, new_tokens: Sequence[str], spaced: bool = False) -> Tokenizer:
    """A copy that says each of the texts by one token more, in their order, from `tokenizer.vocab_size` on.

    spaced: the token is of the text with the blank before it, as items stand in a list; without, a list needs two
    tokens for each. Raises: UserError where the tokenizer has one of them already.
    """
    texts = [f" {text}" for text in new_tokens] if spaced else list(new_tokens)
    known = next((text for text in (*new_tokens, *texts) if tokenizer.inner.token_to_id(text) is not None), None)
    if known is not None:
        raise UserError(f"{tokenizer.source}: has a token {known.strip()} already; items need tokens of their own")
    tokenizers = import_tokenizers(tokenizer.source)
    inner = tokenizers.Tokenizer.from_str(tokenizer.inner.to_str())
    inner.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in texts])
    return dataclasses.replace(tokenizer, inner=inner)


def write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """tokenizer.json and tokenizer_config.json, as `jaxrec.llm.tokenizer.read_tokenizer` reads them."""
    settings: dict[str, Any] = {"bos_token": tokenizer.bos or None, "eos_token": tokenizer.eos or None}
    if tokenizer.chat_template is not None:
        settings["chat_template"] = tokenizer.chat_template
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TOKENIZER).write_text(tokenizer.inner.to_str(), encoding="utf-8")
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
