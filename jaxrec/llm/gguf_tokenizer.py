"""A tokenizer built from the vocabulary of a GGUF file: byte-level BPE, or BPE by scores as SentencePiece has it."""

from __future__ import annotations

from typing import Any

from jaxrec.errors import UserError
from jaxrec.llm.gguf_weights import GGUFFile
from jaxrec.llm.tokenizer import Tokenizer, import_tokenizers

_CONTROL, _USER_DEFINED = 3, 4
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PRE_TOKENIZERS = ("gpt-2", "smollm", "llama-bpe")


def gguf_tokenizer(file: GGUFFile) -> Tokenizer:
    """The file's tokenizer. Raises UserError where it is of a kind that is not supported, or incomplete."""
    tokenizers = import_tokenizers(file.path)
    texts, kinds = _list(file, "tokens", str), file.get("tokenizer.ggml.token_type") or []
    if len(set(texts)) != len(texts):
        raise UserError(f"{file.path}: tokenizer.ggml.tokens names a token twice")
    model = file.get("tokenizer.ggml.model")
    if model == "gpt2":
        inner = _byte_level(file, tokenizers, texts)
    elif model == "llama":
        inner = _by_scores(file, tokenizers, texts)
    else:
        raise UserError(f"{file.path}: tokenizer.ggml.model {model!r}; supported: gpt2, llama")
    control = [text for text, kind in zip(texts, kinds, strict=False) if kind == _CONTROL]
    user = [text for text, kind in zip(texts, kinds, strict=False) if kind == _USER_DEFINED]
    inner.add_special_tokens([tokenizers.AddedToken(text, normalized=False, special=True) for text in control])
    inner.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in user])
    bos, eos, turn_end = (_token(file, name, len(texts)) for name in ("bos", "eos", "eot"))
    if bos is not None and file.get("tokenizer.ggml.add_bos_token", model == "llama"):
        first = texts[bos]
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single=[first, "$A"], special_tokens=[(first, bos)]
        )
    return Tokenizer(
        inner=inner,
        stop_tokens=tuple(token for token in dict.fromkeys((eos, turn_end)) if token is not None),
        bos="" if bos is None else texts[bos],
        eos="" if eos is None else texts[eos],
        special_texts=tuple(sorted(control)),
        chat_template=file.get("tokenizer.chat_template"),
        source=file.path,
    )


def _byte_level(file: GGUFFile, tokenizers: Any, texts: list[str]) -> Any:
    """BPE over bytes with the merges that the file lists (Radford et al., 2019)."""
    kind = file.get("tokenizer.ggml.pre", "gpt-2")
    if kind not in _PRE_TOKENIZERS:
        raise UserError(f"{file.path}: tokenizer.ggml.pre {kind!r}; supported: {', '.join(_PRE_TOKENIZERS)}")
    merges = [tuple(merge.split(" ")) for merge in _list(file, "merges", str)]
    llama3 = kind == "llama-bpe"
    inner = tokenizers.Tokenizer(_bpe(file, tokenizers, texts, merges, ignore_merges=llama3))
    parts = tokenizers.pre_tokenizers
    byte_level = parts.ByteLevel(add_prefix_space=False, use_regex=not llama3)
    if llama3:
        inner.pre_tokenizer = parts.Sequence([parts.Split(tokenizers.Regex(_LLAMA3_WORDS), "isolated"), byte_level])
    elif kind == "smollm":
        inner.pre_tokenizer = parts.Sequence([parts.Digits(individual_digits=True), byte_level])
    else:
        inner.pre_tokenizer = byte_level
    inner.decoder = tokenizers.decoders.ByteLevel()
    return inner


def _by_scores(file: GGUFFile, tokenizers: Any, texts: list[str]) -> Any:
    """BPE where of all neighbours the two are joined whose union scores highest (SentencePiece's BPE)."""
    scores = _list(file, "scores", float)
    if len(scores) != len(texts):
        raise UserError(f"{file.path}: {len(scores)} tokenizer.ggml.scores for {len(texts)} tokens; one each is needed")
    place = {text: token for token, text in enumerate(texts)}
    merges = []
    for token, text in enumerate(texts):
        for cut in range(1, len(text)):
            left, right = place.get(text[:cut]), place.get(text[cut:])
            if left is not None and right is not None:
                merges.append((-scores[token], left, right))
    pairs = [(texts[left], texts[right]) for _, left, right in sorted(merges)]
    unknown = _token(file, "unknown", len(texts))
    settings = {} if unknown is None else {"unk_token": texts[unknown], "fuse_unk": True}
    inner = tokenizers.Tokenizer(_bpe(file, tokenizers, texts, pairs, byte_fallback=True, **settings))
    prefix = bool(file.get("tokenizer.ggml.add_space_prefix", True))
    spaces = [tokenizers.normalizers.Replace(" ", "▁")]
    inner.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.Prepend("▁")] * prefix + spaces)
    parts = tokenizers.decoders
    steps = [parts.Replace("▁", " "), parts.ByteFallback(), parts.Fuse()]
    inner.decoder = parts.Sequence(steps + [parts.Strip(" ", 1, 0)] * prefix)
    return inner


def _bpe(file: GGUFFile, tokenizers: Any, texts: list[str], merges: list[Any], **settings: Any) -> Any:
    vocab = {text: token for token, text in enumerate(texts)}
    try:
        return tokenizers.models.BPE(vocab=vocab, merges=merges, **settings)
    except Exception as error:
        # The library raises Exception itself for a merge of tokens that are not there, the others for one of no pair.
        if type(error) not in (Exception, TypeError, ValueError):
            raise
        raise UserError(f"{file.path}: its vocabulary makes no tokenizer ({str(error).splitlines()[0]})") from error


def _list(file: GGUFFile, name: str, kind: type) -> list[Any]:
    value = file.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list) or not value or not all(type(one) is kind for one in value):
        raise UserError(f"{file.path}: no whole tokenizer.ggml.{name}; the tokenizer's vocabulary is needed")
    return value


def _token(file: GGUFFile, name: str, vocab_size: int) -> int | None:
    value = file.get(f"tokenizer.ggml.{name}_token_id")
    if value is not None and (type(value) is not int or not 0 <= value < vocab_size):
        raise UserError(f"{file.path}: tokenizer.ggml.{name}_token_id {value!r}; an id below {vocab_size} is needed")
    return value
