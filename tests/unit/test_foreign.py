"""Tokenizers of other libraries: the ids and pieces are those of the library, and travel with the
run."""

from __future__ import annotations

import json
import math
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer as Backend

import nextword
from nextword.config import TextConfig, Use, configure, refuse_unused
from nextword.errors import InputError
from nextword.text.corpus import prepare
from nextword.text.foreign import SHIFT, ForeignTokenizer
from nextword.text.huggingface import HuggingFaceTokenizer
from nextword.text.reader import open_texts
from nextword.text.sentencepiece_model import SentencePieceTokenizer
from nextword.text.tokenizer import (
    EOS,
    SPECIALS,
    UNK,
    Tokenizer,
    load_tokenizer,
    restore_tokenizer,
    train_tokenizer,
)
from tests.foreign import (
    CHINESE,
    ENGLISH,
    HF,
    ODD,
    SENTENCEPIECE,
    TEXT,
    file_of,
    hf_json,
    sentencepiece_model,
)
from tests.support import Cli

TEXTS = {"english": ENGLISH, "chinese": CHINESE, "odd": ODD}
#: A folder of corpora, named in an environment variable; without one the example's text is read.
CORPORA = Path(os.environ.get("NEXTWORD_CORPORA", Path(__file__).parents[2] / "examples"))


@cache
def made(name: str) -> ForeignTokenizer:
    if name in SENTENCEPIECE:
        return SentencePieceTokenizer(sentencepiece_model(name))
    return HuggingFaceTokenizer(hf_json(name))


@cache
def library(name: str) -> Any:
    if name in SENTENCEPIECE:
        return SentencePieceProcessor(model_proto=sentencepiece_model(name))
    return Backend.from_str(hf_json(name))


def of_library(name: str, line: str) -> tuple[list[int], list[str], int | None]:
    """What the library says of a line: ids, pieces, and its id of unknown text."""
    if name in SENTENCEPIECE:
        return library(name).encode(line), library(name).encode(line, out_type=str), 0
    encoded = library(name).encode(line, add_special_tokens=False)
    unknown = {"byte-level": None, "unigram": 0, "wordpiece": 1, "suffix": 0}[name]
    return encoded.ids, encoded.tokens, unknown


ALL = [*HF, *SENTENCEPIECE]
BOTH = [(name, text) for name in ALL for text in TEXTS]
LINES = st.lists(
    st.sampled_from([*{*ENGLISH.split(), *CHINESE}, " ", "  ", "\t", "\n", "ﬁ", "é", "e\u0301"]),
    max_size=30,
).map("".join)
ANY_TEXT = st.one_of(st.text(), LINES)


# ------------------------------------------------------------------------------ as in the library


@pytest.mark.parametrize(("name", "text"), BOTH)
def test_ids_and_pieces_are_the_librarys(name: str, text: str) -> None:
    """Line by line; an id is the library's + 2, unknown text is 0."""
    for line in TEXTS[text].split("\n"):
        theirs, pieces, unknown = of_library(name, line)
        ids = made(name).encode(line)
        assert ids == [UNK if index == unknown else index + SHIFT for index in theirs]
        known = [piece for piece, index in zip(pieces, theirs, strict=True) if index != unknown]
        assert [made(name).token(index) for index in ids if index != UNK] == known
        assert len(ids) == len(pieces)


@pytest.mark.parametrize("name", ALL)
@given(text=ANY_TEXT)
def test_any_text(name: str, text: str) -> None:
    """Lines by themselves, `<eos>` between them, every id in the vocabulary."""
    tokenizer = made(name)
    ids = tokenizer.encode(text)
    expected: list[int] = []
    for number, line in enumerate(text.split("\n")):
        theirs, _, unknown = of_library(name, line)
        expected += [EOS] * (number > 0)
        expected += [UNK if index == unknown else index + SHIFT for index in theirs]
    assert ids == expected
    assert all(0 <= index < tokenizer.vocab_size for index in ids)
    assert tokenizer.decode(ids).count("\n") == text.count("\n")
    assert len(tokenizer.unknown(text)) <= ids.count(UNK)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("corpus", ["shakespeare.txt", "wikitext-2/test.txt", "tang/valid.txt"])
def test_corpora(name: str, corpus: str, tmp_path: Path) -> None:
    if not (CORPORA / corpus).is_file():
        pytest.skip(f"no {corpus}; name a folder with it in NEXTWORD_CORPORA")
    text = (CORPORA / corpus).read_text(encoding="utf-8")[:200_000]
    (tmp_path / "text").write_text(text, encoding="utf-8")
    found = prepare(open_texts([tmp_path / "text"]), made(name), tmp_path / "ids")
    expected = []
    for line in text.split("\n"):
        theirs, _, unknown = of_library(name, line)
        expected += [*(UNK if index == unknown else index + SHIFT for index in theirs), EOS]
    assert found.ids.tolist() == expected[:-1]
    assert found.counts.bytes == len(text.encode())


def test_byte_level_loses_nothing() -> None:
    tokenizer = made("byte-level")
    for text in TEXTS.values():
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert UNK not in tokenizer.encode(text)


@pytest.mark.parametrize("name", ALL)
def test_the_first_ids(name: str) -> None:
    tokenizer = made(name)
    size = library(name).vocab_size if name in SENTENCEPIECE else library(name).get_vocab_size
    assert tokenizer.vocab_size == size() + SHIFT
    assert [tokenizer.token(UNK), tokenizer.token(EOS)] == list(SPECIALS)
    names = [tokenizer.token(index) for index in range(tokenizer.vocab_size)]
    assert len(set(names)) == len(names)  # so vectors can be carried from one to another
    assert tokenizer.encode("\n\n") == [EOS, EOS]
    assert tokenizer.decode([EOS]) == "\n"
    assert isinstance(tokenizer.decode(range(tokenizer.vocab_size)), str)


@pytest.mark.parametrize("name", ALL)
def test_unknown(name: str) -> None:
    """What is unknown is spelled as in the text; the library's own mark does not count."""
    text = "the 龘 sea <unk> [UNK]\n靐"
    found = {key: list[str]() for key in ALL} | {
        "unigram": ["龘", "[UNK]", "靐"],
        "wordpiece": ["龘", "<", "unk", ">", "靐"],
        "suffix": ["龘", "[", "K", "]", "靐"],
        "sp-unigram": ["龘", "<", ">", "[UNK]", "靐"],
    }
    assert made(name).unknown(text) == found[name]


@pytest.mark.parametrize("name", ALL)
def test_whole_words(name: str) -> None:
    index = made(name).known("sea")
    assert index is not None
    assert made(name).token(index).strip("Ġ▁").removesuffix("</w>") == "sea"
    assert made(name).known("seaking") is None
    assert made("sp-unigram").known("龘") is None
    assert made("wordpiece").known("龘") is None


# ------------------------------------------------------------------------------ where pieces stand


@pytest.mark.parametrize("name", ALL)
@given(text=st.one_of(st.just(ODD), ANY_TEXT))
def test_spans(name: str, text: str) -> None:
    tokenizer = made(name)
    ids, spans = tokenizer.encode_with_spans(text)
    assert ids == tokenizer.encode(text)
    assert all(0 <= start <= stop <= len(text) for start, stop in spans)
    assert all(text[start:stop] == text[start:stop].strip() for start, stop in spans)
    ends = [start for index, (start, stop) in zip(ids, spans, strict=True) if index == EOS]
    assert ends == [place for place, letter in enumerate(text) if letter == "\n"]


@pytest.mark.parametrize("name", ALL)
def test_spans_say_the_pieces(name: str) -> None:
    text = "It was the  king\nand the sea"
    ids, spans = made(name).encode_with_spans(text)
    for index, (start, stop) in zip(ids, spans, strict=True):
        piece = made(name).token(index).strip("Ġ▁").removeprefix("##").removesuffix("</w>")
        assert text[start:stop].lower() == (piece.lower() if index != EOS else "")


@pytest.mark.parametrize("name", ALL)
def test_pieces_that_begin_words(name: str) -> None:
    """Only where the space belongs to the piece."""
    begin = made(name).word_boundaries()
    if name in ("wordpiece", "suffix"):
        assert begin is None
    else:
        assert begin is not None and begin[0] == EOS
        assert made(name).known("sea") in begin
        assert len(begin) < made(name).vocab_size / 2


@pytest.mark.parametrize("name", ALL)
def test_pieces_that_go_on_with_a_word(name: str) -> None:
    """As the library marks them; every Chinese character begins a word."""
    text = "kingdoms unwell 黄河"
    words: list[str] = []
    before = EOS
    for index, (start, stop) in zip(*made(name).encode_with_spans(text), strict=True):
        if made(name).continues_word(index, before):
            words[-1] += text[start:stop]
        else:
            words.append(text[start:stop])
        before = index
    last = ["黄河"] if name == "sp-bpe" else ["黄", "河"]  # there it is one piece
    assert [word for word in words if word] == ["kingdoms", "unwell", *last]


@pytest.mark.parametrize("name", ALL)
def test_ids_for_the_marks_of_bert(name: str) -> None:
    """Three more ids stand before the library's; what is written out in a text is no mark."""
    plain, marked = made(name), made(name).with_marks()
    ids = plain.encode(ODD)
    assert marked.encode(ODD) == [i if i < SHIFT else i + 3 for i in ids]
    assert marked.vocab_size == plain.vocab_size + 3
    assert [marked.token(i) for i in (2, 3, 4)] == ["[CLS]", "[MASK]", "[PAD]"]
    assert marked.decode(marked.encode(ODD)) == plain.decode(ids)
    assert marked.decode([*marked.encode("sea"), 3]).endswith("sea[MASK]")
    assert len({marked.token(i) for i in range(marked.vocab_size)}) == marked.vocab_size
    again = restore_tokenizer(json.loads(marked.to_json()))
    assert again.encode(ODD) == marked.encode(ODD) and again.fingerprint == marked.fingerprint
    assert marked.fingerprint != plain.fingerprint and made(name).vocab_size == plain.vocab_size
    begin = plain.word_boundaries()
    assert marked.word_boundaries() == (begin and [EOS, *(i and i + 3 for i in begin[1:])])


@pytest.mark.parametrize("name", ALL)
def test_a_sentence_ends_as_a_line_does(name: str, tmp_path: Path) -> None:
    setting, _ = file_of(name, tmp_path)
    tokenizer = train_tokenizer([], TextConfig(tokenizer=setting, sentences=True))
    text = "It was late.  The sea was still. 举头望明月。低头思故乡。\nThe end."
    lines = "It was late.\nThe sea was still.\n举头望明月。\n低头思故乡。\nThe end."
    ids, spans = tokenizer.encode_with_spans(text)
    assert ids == tokenizer.encode(text) == made(name).encode(lines)
    ends = [start for index, (start, _) in zip(ids, spans, strict=True) if index == EOS]
    assert [text[:end][-3:] for end in ends] == ["te.", "ll.", "明月。", "故乡。"]
    assert restore_tokenizer(json.loads(tokenizer.to_json())).encode(text) == ids


@pytest.mark.parametrize("name", ALL)
@given(parts=st.lists(LINES, max_size=6))
def test_parts_are_those_of_the_whole(name: str, parts: list[str]) -> None:
    """A text that is cut between words, as `compare` does it, has the ids of the whole."""
    rows = made(name).encode_parts(parts)
    assert len(rows) == len(parts)
    assert [index for row in rows for index in row] == made(name).encode("".join(parts))
    for part, row in zip(parts, rows, strict=True):
        assert row.count(EOS) == part.count("\n")


# ------------------------------------------------------------------------------ written and read


@pytest.mark.parametrize("name", ALL)
def test_restored(name: str) -> None:
    again = restore_tokenizer(json.loads(made(name).to_json()))
    assert type(again) is type(made(name))
    assert again.fingerprint == made(name).fingerprint
    assert again.encode(ODD) == made(name).encode(ODD)
    assert again.decode(again.encode(ODD)) == made(name).decode(made(name).encode(ODD))


@pytest.mark.parametrize("name", ALL)
def test_a_cut_text_decodes_as_the_whole(name: str) -> None:
    """Token by token, as `generate` prints it."""
    from nextword.generation.continuation import DecodedText

    ids = made(name).encode(ENGLISH[:500] + CHINESE[:100])
    text = DecodedText(made(name), [EOS])
    printed = "".join(text.add(index) for index in ids) + text.rest()
    assert printed == made(name).decode([EOS, *ids])[1:]


# ------------------------------------------------------------------------------ every verb

SMALL: dict[str, Any] = {
    "ngram": {"model.order": 3},
    "lstm": {"model.hidden": 16, "model.embedding": 16, "model.layers": 1, "train.epochs": 1},
    "transformer-lm": {"model.hidden": 16, "model.layers": 1, "model.heads": 2, "train.epochs": 1},
}


def trained(recipe: str, tokenizer: str, folder: Path, **more: Any) -> Path:
    """A tiny run in a folder of its own; the file of the tokenizer is gone."""
    text = folder / "text.txt"
    text.write_text(TEXT, encoding="utf-8")
    setting, file = file_of(tokenizer, folder)
    overrides = SMALL[recipe] | {"text.tokenizer": setting} | more
    nextword.train(recipe, text, folder / "made", overrides=overrides, quiet=True)
    file.unlink()
    return (folder / "made").rename(folder / f"moved-{recipe}-{tokenizer}")


@pytest.mark.parametrize("name", ["unigram", "sp-spaces"])
@pytest.mark.parametrize("recipe", SMALL)
def test_verbs(recipe: str, name: str, tmp_path: Path, cli: Cli) -> None:
    """A run without the file of its tokenizer does all that other runs do."""
    run = trained(recipe, name, tmp_path)
    text = tmp_path / "text.txt"
    found = json.loads(cli("evaluate", run, "--data", text, "--json")[1])
    ids = made(name).encode(TEXT)
    spelled = sum(len(piece.encode()) + 1 for piece in made(name).unknown(TEXT))
    assert found["tokens"] == len(ids)
    assert found["bits_per_byte"] == pytest.approx(
        (found["nll"] / math.log(2) + 8 * spelled) / len(TEXT.encode())
    )
    assert f":{made(name).vocab_size}:{made(name).fingerprint}" in found["signature"]
    line = json.loads(cli("score", run, text, "--json")[1].splitlines()[0])
    assert line["tokens"] == len(made(name).encode(ENGLISH.split("\n")[0])) + 1
    assert cli("generate", run, "--prompt", "It was", "--tokens", 5, "--seed", 1)[0] == 0
    status, out, _ = cli("compare", run, run, "--data", text)
    assert status == 0 and "moved" in out
    more = tmp_path / "more"
    nextword.train(recipe, text, more, start_from=run, quiet=True, overrides=SMALL[recipe])
    assert nextword.load(more).tokenizer.fingerprint == made(name).fingerprint


@pytest.mark.parametrize("name", ["byte-level", "sp-unigram"])
def test_mixtures_and_arpa(name: str, tmp_path: Path, cli: Cli) -> None:
    run, other = trained("ngram", name, tmp_path), trained("lstm", name, tmp_path)
    text = tmp_path / "text.txt"
    status, _, err = cli(
        "train", "mixture", run, other, "--valid", text, "--out", tmp_path / "mixed"
    )
    assert status == 0, err
    assert nextword.evaluate(nextword.load(tmp_path / "mixed"), text).perplexity > 1
    status, _, err = cli("export", run, "--format", "arpa", "--out", tmp_path / "a.arpa")
    assert status == 0, err
    before, after = (nextword.evaluate(nextword.load(r), text) for r in (run, tmp_path / "a.arpa"))
    assert after.nll == pytest.approx(before.nll, rel=1e-6)
    assert after.tokens == before.tokens


def test_resume_and_a_new_vocabulary(tmp_path: Path) -> None:
    run = trained("lstm", "wordpiece", tmp_path)
    nextword.resume(run, overrides={"train.epochs": 2}, quiet=True)
    setting, _ = file_of("sp-bpe", tmp_path)
    new = {"train.vocabulary": "new", "text.tokenizer": setting} | SMALL["lstm"]
    text = tmp_path / "text.txt"
    nextword.train("lstm", text, tmp_path / "new", start_from=run, overrides=new, quiet=True)
    assert nextword.load(tmp_path / "new").tokenizer.name == "sentencepiece"


PAIRS = "the king\tder König\nthe sea\tdas Meer\n明月\tthe moon\n" * 8
LABELLED = "good\tthe king was wise\nbad\tthe worst of times\n" * 8
TAGGED = "the\tD\nking\tN\n\n明\tA\n月\tN\n\n" * 8


@pytest.mark.parametrize(
    ("recipe", "content"), [("seq2seq", PAIRS), ("classifier", LABELLED), ("tagger", TAGGED)]
)
@pytest.mark.parametrize("name", ["byte-level", "wordpiece", "sp-bpe"])
def test_other_tasks(recipe: str, content: str, name: str, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "text.tsv").write_text(content, encoding="utf-8")
    setting, file = file_of(name, tmp_path)
    size = "model.encoder." if recipe != "seq2seq" else "model."
    overrides = {
        "text.tokenizer": setting,
        "train.epochs": 1,
        f"{size}hidden": 8,
        f"{size}embedding": 8,
    }
    if recipe == "seq2seq":
        overrides["source.tokenizer"] = setting
    nextword.train(recipe, tmp_path / "text.tsv", tmp_path / "run", overrides=overrides, quiet=True)
    file.unlink()
    assert cli("evaluate", tmp_path / "run", "--data", tmp_path / "text.tsv")[0] == 0
    verb = "translate" if recipe == "seq2seq" else "classify"
    (tmp_path / "lines").write_text("the king\n明月\n", encoding="utf-8")
    status, out, err = cli(verb, tmp_path / "run", tmp_path / "lines")
    assert status == 0 and out, err


# ------------------------------------------------------------------------------ bad input


def hf_with(name: str, **changes: Any) -> str:
    return json.dumps(json.loads(hf_json(name)) | changes)


def model_with(name: str, **changes: Any) -> str:
    return hf_with(name, model=json.loads(hf_json(name))["model"] | changes)


BAD = {
    "": "no tokenizer",
    "{}": "has no table 'model'",
    "[]": "has no table 'model'",
    hf_json("unigram")[:3000]: "no tokenizer",
    hf_with("unigram", pre_tokenizer={"type": "Custom"}): "cannot load its pre_tokenizer 'Custom'",
    hf_with("unigram", normalizer={"type": "Own"}): "cannot load its normalizer 'Own'",
    hf_with("unigram", decoder={"type": "Own"}): "cannot load its decoder 'Own'",
    model_with("unigram", type="Trigram"): "cannot load its model 'Trigram'",
    model_with("wordpiece", max_input_chars_per_word=2**31): "longer words than 1,000",
    model_with("wordpiece", unk_token="[NO]"): "cannot encode every text",
    model_with("unigram", unk_id=None): "cannot encode every text",
    model_with("wordpiece", vocab={"[UNK]": 0, "a": 10**6}): "the id 1,000,000",
}


@pytest.mark.parametrize(("content", "message"), BAD.items(), ids=map(str, range(len(BAD))))
def test_bad_tokenizer_json(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        train_tokenizer([], TextConfig(tokenizer=f"hf:{path}"))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    for tokenizer in (f"hf:{tmp_path}/none.json", f"hf:{tmp_path}", "hf:", "hf", "sentencepiece"):
        with pytest.raises(InputError):
            train_tokenizer([], TextConfig(tokenizer=tokenizer))
    with pytest.raises(InputError, match="'word' is not read from a file"):
        configure("lstm", {"text.tokenizer": "word:words.txt"})


GOOD = sentencepiece_model("sp-unigram")


@pytest.mark.parametrize("content", [b"", b"text\n", GOOD[:1000], GOOD[:-7], b"\x00" + GOOD])
def test_bad_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.model"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no SentencePiece model") as caught:
        train_tokenizer([], TextConfig(tokenizer=f"sentencepiece:{path}"))
    assert "\n" not in str(caught.value)
    stored = json.loads(made("sp-unigram").to_json())
    with pytest.raises(ValueError, match="base64"):
        restore_tokenizer(stored | {"model": "*"})


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """To train, and to load a run."""
    setting, _ = file_of("sp-bpe", tmp_path)
    (tmp_path / "tokenizer.json").write_text(made("sp-bpe").to_json())
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(InputError, match=r"pip install 'nextword\[sentencepiece\]'"):
        train_tokenizer([], TextConfig(tokenizer=setting))
    with pytest.raises(InputError, match=r"pip install 'nextword\[sentencepiece\]'"):
        load_tokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("key", ["vocab_size", "min_count", "lower", "strip_accents", "split"])
def test_settings_that_would_do_nothing(key: str) -> None:
    value = {"vocab_size": 9, "min_count": 2, "split": "words"}.get(key, True)
    given = {f"text.{key}": value, "text.tokenizer": "hf:a.json"}
    with pytest.raises(InputError, match=f"text.{key} is for a tokenizer of word"):
        refuse_unused(given, Use(configure("lstm", given)))


def test_characters_that_are_left_out_are_told() -> None:
    """A model of pairs of characters, without a piece for the others."""
    content = hf_with("byte-level", pre_tokenizer={"type": "Whitespace"})
    tokenizer = HuggingFaceTokenizer(content)
    assert tokenizer.encode("\U0002a6d6") == []
    (note,) = tokenizer.recognised(TextConfig())
    assert "are left out" in note
    assert all(made(name).recognised(TextConfig()) == [] for name in HF)


def test_dropout_and_truncation_are_not_followed() -> None:
    """Every line is encoded whole, and always to the same ids."""
    content = model_with("byte-level", dropout=0.9)
    limits = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    cut = json.dumps(json.loads(content) | {"truncation": limits})
    tokenizer: Tokenizer = HuggingFaceTokenizer(cut)
    assert tokenizer.encode(ODD) == made("byte-level").encode(ODD)
