"""A random Llama with a tokenizer of bytes and a few words, in a folder as Hugging Face writes one."""

import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from jaxrec.llm.checkpoint import read_checkpoint
from tests.llm.tiny_llama import CONFIG, write_folder

TEXTS = [
    "the lamp is warm and soft",
    'he said: "warm", "soft"',
    '{"a":[1,2],"b":"c"}},{"',
    "naïve 日本語 🙂",
    "\\u00e9 \\n",
]
CONTROL = ("<|im_start|>", "<|im_end|>")
CHAT_CONFIG = CONFIG | {"vocab_size": 320, "num_hidden_layers": 1, "max_position_embeddings": 4096, "eos_token_id": 1}


def write_tiny_chat(folder, **changes):
    """The folder; changes: of its config.json."""
    write_folder(folder, CHAT_CONFIG | changes)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        TEXTS * 3, trainers.BpeTrainer(vocab_size=312, special_tokens=list(CONTROL), initial_alphabet=alphabet)
    )
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": CONTROL[1]}))
    return folder


def read_tiny_chat(folder, **changes):
    return read_checkpoint(write_tiny_chat(folder, **changes))
