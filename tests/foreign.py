"""Tokenizers of other libraries, learnt here from small texts: nothing is downloaded."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceTrainer
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

ENGLISH = """\
It was the best of times, it was the worst of times; it was the age of wisdom.
"What's that?" (Alice didn't know; well-read or not.) She went to the sea, and the sea was still.
There was once a king who had a daughter, and the daughter had a golden ball.
""" * (20)
CHINESE = """\
床前明月光，疑是地上霜。举头望明月，低头思故乡。
春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。
白日依山尽，黄河入海流。欲穷千里目，更上一层楼。
""" * (20)
TEXT = ENGLISH + CHINESE
#: Texts with what tokenizers treat differently: spaces, tabs, marks, letters that are rare or new.
ODD = """\
 The king  went home.   He said: \u201cis it\u2026 late?\u201d\tYes!

naïve Łódź №5 ﬁne <unk> </s> <eos> [UNK] <|endoftext|>
龘靐 黄河 in China，床前 １２３ \u3000 e\u0301 🙂👩\u200d🔬
it's   \n   \n\nthe end\r\nof the line"""


def _byte_level() -> Backend:
    """As GPT-2: pieces of bytes, the space belongs to the word after it."""
    made = Backend(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(TEXT.splitlines(), trainer)
    return made


def _unigram() -> Backend:
    """As T5: `▁` stands for the space before a word, and the text is NFKC."""
    made = Backend(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    made.train_from_iterator(TEXT.splitlines(), trainer)
    return made


def _wordpiece() -> Backend:
    """As BERT: `##` continues a word, and the text is lower-cased."""
    made = Backend(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=300,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        show_progress=False,
    )
    made.train_from_iterator(TEXT.splitlines(), trainer)
    return made


def _suffix() -> Backend:
    """As the first GPT and XLM: `</w>` ends a word."""
    made = Backend(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>"],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    made.train_from_iterator(TEXT.splitlines(), trainer)
    return made


HF = {
    "byte-level": _byte_level,
    "unigram": _unigram,
    "wordpiece": _wordpiece,
    "suffix": _suffix,
}


@cache
def hf_json(name: str) -> str:
    """The `tokenizer.json` of one of `HF`."""
    return HF[name]().to_str(pretty=True)


SENTENCEPIECE: dict[str, dict[str, Any]] = {
    "sp-unigram": {"model_type": "unigram", "vocab_size": 170, "character_coverage": 0.99},
    "sp-bpe": {"model_type": "bpe", "vocab_size": 600, "byte_fallback": True},
    "sp-spaces": {  # as Llama: spaces are kept, numbers are cut into digits
        "model_type": "unigram",
        "vocab_size": 450,
        "byte_fallback": True,
        "remove_extra_whitespaces": False,
        "normalization_rule_name": "identity",
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
    },
}


@cache
def sentencepiece_model(name: str) -> bytes:
    """The `.model` of one of `SENTENCEPIECE`."""
    made = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines()),
        model_writer=made,
        minloglevel=2,
        hard_vocab_limit=False,
        **SENTENCEPIECE[name],
    )
    return made.getvalue()


def file_of(name: str, folder: Path) -> tuple[str, Path]:
    """Write a tokenizer of any kind into a folder: what `text.tokenizer` is set to, and the file.

    Example:
        setting, file = file_of("sp-bpe", folder)  # "sentencepiece:FOLDER/sp-bpe.model"
    """
    if name in HF:
        path = folder / f"{name}.json"
        path.write_text(hf_json(name), encoding="utf-8")
        return f"hf:{path}", path
    path = folder / f"{name}.model"
    path.write_bytes(sentencepiece_model(name))
    return f"sentencepiece:{path}", path
