"""Tokenizers of folders and GGUF files, whole checkpoints, and what keeps a tokenizer from being read."""

import itertools
import json

import numpy as np
import pytest
from gguf import GGUFWriter
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from jaxrec.errors import UserError
from jaxrec.llm.checkpoint import read_checkpoint
from jaxrec.llm.gguf_tokenizer import gguf_tokenizer
from jaxrec.llm.gguf_weights import GGUFFile
from jaxrec.llm.tokenizer import read_tokenizer
from tests.llm.tiny_llama import CONFIG, write_folder

CORPUS = ["the lamp is warm and soft", "warm light in 2024, it's 15 °C", "a soft seat\n\n for the lamp", "naïve 日本語"]
TEXTS = [*CORPUS, "", " lamp", "  the   warm\tlight\n", "1234567 lamps!?", "<|end|>lamp<|end|>", "émigré 🙂"]
CONTROL = ("<|start|>", "<|end|>")
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained(pre_tokenizer):
    """A byte-level BPE as a tokenizer.json would hold it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizer
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CORPUS * 3, trainers.BpeTrainer(vocab_size=320, special_tokens=list(CONTROL), initial_alphabet=alphabet)
    )
    return made


def write_vocabulary(path, model, texts, kinds=None, merges=None, scores=None, **fields):
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(texts)
    writer.add_token_types(kinds or [3 if text in CONTROL else 1 for text in texts])
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores(scores)
    for name, value in fields.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string}[type(value)]
        add(f"tokenizer.ggml.{name}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GGUFFile(path)


def byte_level_parts(made):
    """Texts in the order of their ids, and the merges."""
    model = json.loads(made.to_str())["model"]
    texts = sorted(made.get_vocab(), key=made.get_vocab().get)
    return texts, [" ".join(merge) for merge in model["merges"]]


@pytest.mark.parametrize(
    ("pre", "parts"),
    [
        ("gpt-2", [pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        ("smollm", [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
        (
            "llama-bpe",
            [
                pre_tokenizers.Split(Regex(LLAMA3_WORDS), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ],
        ),
    ],
)
def test_a_byte_level_vocabulary_gives_the_tokens_of_its_origin(tmp_path, pre, parts):
    origin = trained(pre_tokenizers.Sequence(parts))
    texts, merges = byte_level_parts(origin)
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    found = gguf_tokenizer(write_vocabulary(tmp_path / "v.gguf", "gpt2", texts, merges=merges, pre=pre, **ends))
    for text in TEXTS:
        assert found.encode(text) == origin.encode(text).ids
        assert found.decode(found.encode(text)) == text.replace("<|end|>", "")
    assert found.encode("lamp", special_tokens=True) == found.encode("lamp")
    assert (found.stop_tokens, found.bos, found.eos, found.vocab_size) == ((1,), *CONTROL, len(texts))
    assert found.special_texts == ("<|end|>", "<|start|>")


def by_scores(text, place, scores):
    """SentencePiece's BPE: of all neighbours the two whose union scores highest become one, the first of equals."""
    pieces = list("▁" + text.replace(" ", "▁")) if text else []
    while True:
        unions = [(scores[place[a + b]], -at) for at, (a, b) in enumerate(itertools.pairwise(pieces)) if a + b in place]
        if not unions:
            break
        at = -max(unions)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    ids = []
    for piece in pieces:
        ids += [place[piece]] if piece in place else [place[f"<0x{byte:02X}>"] for byte in piece.encode()]
    return ids


def test_a_vocabulary_with_scores_joins_what_scores_highest(tmp_path):
    rng = np.random.default_rng(0)
    words = "▁" + "▁".join(["the", "lamp", "is", "warm", "and", "soft", "light", "seat"])
    pieces = sorted({words[at : at + size] for at in range(len(words)) for size in (1, 2, 3, 4)})
    pieces = [piece for piece in pieces if len(piece) == 1 or rng.random() < 0.7]
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(pieces)]
    scores = [0.0] * 259 + rng.permutation(len(pieces)).astype(float).tolist()
    file = write_vocabulary(
        tmp_path / "v.gguf", "llama", texts, kinds, scores=scores, bos_token_id=1, eos_token_id=2, unknown_token_id=0
    )
    found = gguf_tokenizer(file)
    place = {text: token for token, text in enumerate(texts)}
    for text in ("the lamp", "warm  soft seats", "it is 🙂 light", "theatre hammam", "a", "x\ny"):
        assert found.encode(text) == by_scores(text, place, scores)
        assert found.decode(found.encode(text)) == text
        assert found.encode(text, special_tokens=True) == [1, *found.encode(text)]
    assert found.stop_tokens == (2,)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": "t5"}, "tokenizer.ggml.model 't5'; supported: gpt2, llama"),
        ({"pre": "deepseek-llm"}, "tokenizer.ggml.pre 'deepseek-llm'; supported"),
        ({"merges": None}, "no whole tokenizer.ggml.merges"),
        ({"merges": ["nothing known"]}, "its vocabulary makes no tokenizer"),
        ({"merges": ["ab"]}, "its vocabulary makes no tokenizer"),
        ({"merges": ["a b c"]}, "its vocabulary makes no tokenizer"),
        ({"eos_token_id": 9}, "eos_token_id 9; an id below 4"),
        ({"texts": ["a", "b", "b", "c"]}, "names a token twice"),
        ({"model": "llama"}, "no whole tokenizer.ggml.scores"),
        ({"model": "llama", "scores": [1.0, 2.0]}, "2 tokenizer.ggml.scores for 4 tokens"),
    ],
)
def test_vocabularies_that_are_refused(tmp_path, changes, named):
    settings = {"model": "gpt2", "texts": ["a", "b", "ab", "c"], "merges": ["a b"], "pre": "gpt-2"} | changes
    with pytest.raises(UserError) as caught:
        gguf_tokenizer(write_vocabulary(tmp_path / "v.gguf", **settings))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


# Folders


def write_tokenizer(folder, **files):
    """tokenizer.json and, given as keywords, other JSON files."""
    folder.mkdir(parents=True, exist_ok=True)
    trained(pre_tokenizers.ByteLevel(add_prefix_space=False)).save(str(folder / "tokenizer.json"))
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def test_what_a_folder_says_about_its_tokens(tmp_path):
    settings = {"bos_token": {"content": "<|start|>"}, "eos_token": "<|end|>", "chat_template": "T"}
    found = read_tokenizer(write_tokenizer(tmp_path, tokenizer_config=settings))
    assert (found.bos, found.eos, found.stop_tokens, found.chat_template) == ("<|start|>", "<|end|>", (1,), "T")
    write_tokenizer(tmp_path, config={"eos_token_id": 5})
    assert read_tokenizer(tmp_path).stop_tokens == (5,)
    write_tokenizer(tmp_path, generation_config={"eos_token_id": [7, 1]})
    (tmp_path / "chat_template.jinja").write_text("U")
    found = read_tokenizer(tmp_path)
    assert (found.stop_tokens, found.chat_template) == ((7, 1), "U")
    assert found.decode(found.encode("half \ud800 a pair")) == "half ? a pair"


def test_a_whole_checkpoint_and_one_of_two_models(tmp_path):
    config = CONFIG | {"vocab_size": 330}
    folder = write_folder(write_tokenizer(tmp_path), config)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.params["embed"]["embedding"].shape == (330, 16)
    write_folder(folder, CONFIG)
    with pytest.raises(UserError, match=r"token id \d+, but the weights have 40 tokens"):
        read_checkpoint(folder)


def test_checkpoints_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"nothing: not found; a folder with config.json"):
        read_checkpoint(tmp_path / "nothing")
    folder = write_folder(tmp_path / "bare")
    with pytest.raises(UserError, match=r"tokenizer.json: not found"):
        read_checkpoint(folder)
    (folder / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(UserError, match=r"tokenizer.json: not a whole tokenizer"):
        read_checkpoint(folder)
