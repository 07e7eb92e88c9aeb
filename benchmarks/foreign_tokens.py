"""Encodes texts with tokenizers of other libraries, beside the libraries' own batch encoding:

python -m benchmarks.foreign_tokens --text FILE --text FILE

Learns a tokenizer of each kind from each text (the library does), and prints a table: megabytes a
second of both sides, which take turns in one process, and how much of the processor's time ours
takes beside the library's. Fails if an id differs.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nextword.text.foreign import SHIFT, ForeignTokenizer
from nextword.text.huggingface import HuggingFaceTokenizer
from nextword.text.sentencepiece_model import SentencePieceTokenizer
from nextword.text.tokenizer import EOS, UNK

#: ids of each line, as the library has them
Rows = list[list[int]]
_LEARNT = 1_000_000  # characters that a tokenizer is learnt from


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--text", type=Path, action="append", required=True, help="repeatable")
    parser.add_argument("--megabytes", type=float, default=4, help="of each text that are encoded")
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("| text | tokenizer | ours, MB/s | library, MB/s | ours beside it |")
    print("| --- | --- | ---: | ---: | ---: |")
    for path in options.text:
        whole = path.read_text("utf-8")
        text = whole.encode()[: int(options.megabytes * 1e6)].decode(errors="ignore")
        lines = whole[:_LEARNT].splitlines()
        sides = {
            "hf: byte-level BPE": hugging_face(lines, options.vocabulary, wordpiece=False),
            "hf: WordPiece": hugging_face(lines, options.vocabulary, wordpiece=True),
            "sentencepiece: unigram": sentencepiece(lines, options.vocabulary),
        }
        for name, (tokenizer, encode) in sides.items():
            print(f"| {path.name} | {name} | {row(tokenizer, encode, text, options.repeats)} |")


def hugging_face(
    lines: list[str], size: int, *, wordpiece: bool
) -> tuple[ForeignTokenizer, Callable[[list[str]], Rows]]:
    """A tokenizer of the library tokenizers: ours, and the library's batch encoding."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    if wordpiece:
        backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        backend.normalizer = normalizers.BertNormalizer()
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=["[UNK]"], show_progress=False
        )
    else:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    backend.train_from_iterator(lines, trainer)

    def encode(some: list[str]) -> Rows:
        return [row.ids for row in backend.encode_batch_fast(some, add_special_tokens=False)]

    return HuggingFaceTokenizer(backend.to_str()), encode


def sentencepiece(
    lines: list[str], size: int
) -> tuple[ForeignTokenizer, Callable[[list[str]], Rows]]:
    """A tokenizer of SentencePiece: ours, and the library's batch encoding."""
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

    made = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=made,
        vocab_size=size,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    processor = SentencePieceProcessor(model_proto=made.getvalue())
    return SentencePieceTokenizer(made.getvalue()), processor.encode


def row(
    tokenizer: ForeignTokenizer, encode: Callable[[list[str]], Rows], text: str, repeats: int
) -> str:
    """Measure both sides in turn: the figures of a row."""
    lines = text.split("\n")
    ids = tokenizer.encode(text)
    check(ids, encode(lines))
    mine, theirs = [], []
    for _ in range(repeats):
        mine.append(seconds(lambda: tokenizer.encode(text)))
        theirs.append(seconds(lambda: encode(text.split("\n"))))
    size = len(text.encode()) / 1e6
    ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
    ours, library = (size / statistics.median(times) for times in (mine, theirs))
    return f"{ours:.2f} | {library:.2f} | {ratio:.2f}"


def check(ids: list[int], rows: Rows) -> None:
    """Raise SystemExit unless ours are the library's ids + 2, with `<eos>` between the lines."""
    expected = [index for line in rows for index in [EOS, *(one + SHIFT for one in line)]][1:]
    different = [a for a, b in zip(ids, expected, strict=True) if a not in (b, UNK)]
    if different:
        raise SystemExit(f"{len(different)} ids differ")


def seconds(run: Callable[[], object]) -> float:
    """The processor's time of a call, over all its threads."""
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    main()
