"""What every tokenizer promises, over all tokenizers of the registry."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextword.config import TextConfig
from nextword.errors import InputError
from nextword.text.folding import Folding
from nextword.text.tokenizer import (
    EOS,
    SPECIALS,
    UNK,
    Tokenizer,
    build_vocabulary,
    load_tokenizer,
    train_tokenizer,
)
from tests.support import LEARNT

ENGLISH = """\
It was the best of times, it was the worst of times.
"What's that?" (Alice didn't know; well-read or not.)

def tell(story):
    if story:
        for   line in story:
            yield line	# a tab
"""
CHINESE = """\
天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。
她说：“我爱你（真的）！” 他用 GPU 训练。

寒来暑往，秋收冬藏。
"""
TEXTS = {"english": ENGLISH, "chinese": CHINESE}
NAMES = LEARNT
SIZES = {"bpe": 330}
BOTH = [(name, language) for name in NAMES for language in TEXTS]


@cache
def trained(name: str, language: str, lower: bool = False) -> Tokenizer:
    """The tokenizer trained on one of the texts."""
    size = SIZES.get(name)
    return train_tokenizer(
        [TEXTS[language]], TextConfig(tokenizer=name, vocab_size=size, lower=lower)
    )


def word_tokenizer(text: str, **settings: object) -> Tokenizer:
    """A word tokenizer with other settings than the recipes'."""
    return train_tokenizer(
        [text], TextConfig.model_validate({"tokenizer": "word", "vocab_size": None} | settings)
    )


def near(language: str) -> st.SearchStrategy[str]:
    """Texts of words, marks and runs of white space like the training text's."""
    text = TEXTS[language]
    parts = sorted({*text.split(), *text, " ", "  ", "    ", "\t", "\n", "\n\n", "zzz", "龘"})
    return st.lists(st.sampled_from(parts), max_size=30).map("".join)


ANY_TEXT = st.one_of(st.text(), near("english"), near("chinese"))


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("name", ["char", "byte", "bpe"])
@given(data=st.data())
def test_known_characters_survive_to_the_letter(
    name: str, language: str, data: st.DataObject
) -> None:
    """decode(encode(text)) is text, for any text of the training alphabet."""
    text = data.draw(st.text(sorted(set(TEXTS[language]))))
    tokenizer = trained(name, language)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.unknown(text) == []


@pytest.mark.parametrize(("name", "language"), [b for b in BOTH if b[0] in ("byte", "bpe")])
@given(text=ANY_TEXT)
def test_any_text_survives_bytes(name: str, language: str, text: str) -> None:
    """Byte and BPE tokenizers lose nothing of any Unicode text, and no token is unknown."""
    tokenizer = trained(name, language)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert UNK not in ids
    assert tokenizer.unknown(text) == []


@pytest.mark.parametrize(("name", "language"), BOTH)
def test_training_text_has_nothing_unknown(name: str, language: str) -> None:
    """Without a limit on the vocabulary, every token of the training text is known."""
    assert UNK not in trained(name, language).encode(TEXTS[language])


@pytest.mark.parametrize(("name", "language"), BOTH)
@given(text=ANY_TEXT)
def test_ids_fit_the_vocabulary(name: str, language: str, text: str) -> None:
    """0 <= id < vocab_size, and every id has a name people can read."""
    tokenizer = trained(name, language)
    ids = tokenizer.encode(text)
    assert all(0 <= index < tokenizer.vocab_size for index in ids)
    assert all(isinstance(tokenizer.token(index), str) for index in ids)


@pytest.mark.parametrize(("name", "language"), BOTH)
def test_specials_come_first(name: str, language: str) -> None:
    """<unk> is 0 and <eos> is 1, everywhere."""
    tokenizer = trained(name, language)
    assert [tokenizer.token(UNK), tokenizer.token(EOS)] == list(SPECIALS)
    assert tokenizer.encode("\n") == [EOS]
    assert tokenizer.decode([EOS]) == "\n"


@pytest.mark.parametrize(("name", "language"), BOTH)
@given(text=ANY_TEXT)
def test_eos_is_the_newline_and_nothing_else(name: str, language: str, text: str) -> None:
    """As many <eos> as newlines, so a text with N lines has N of them."""
    tokenizer = trained(name, language)
    ids = tokenizer.encode(text)
    assert ids.count(EOS) == text.count("\n")
    assert tokenizer.decode(ids).count("\n") == text.count("\n")


def test_eos_spelled_out() -> None:
    """The letters "<eos>" are just letters, but for the word tokenizer they are the mark itself
    (as in corpora that were written out by a toolkit)."""
    text = "a <eos> b\n"
    for name in ("char", "byte", "bpe"):
        tokenizer = train_tokenizer([text], TextConfig(tokenizer=name, vocab_size=SIZES.get(name)))
        assert tokenizer.encode(text).count(EOS) == 1
        assert tokenizer.decode(tokenizer.encode(text)) == text
    for split in ("whitespace", "words"):
        assert word_tokenizer(text, split=split).encode(text).count(EOS) == 2


@pytest.mark.parametrize(("name", "language"), BOTH)
@given(text=st.one_of(near("english"), near("chinese")))
def test_pieces_encode_as_the_whole(name: str, language: str, text: str) -> None:
    """Cut after a newline, or between a word and the spaces after it: the ids stay the same."""
    tokenizer = trained(name, language)
    whole = tokenizer.encode(text)
    for cut in range(1, len(text)):
        left, right = text[cut - 1], text[cut]
        if left == "\n" or (right in " \t" and not left.isspace()):
            assert tokenizer.encode(text[:cut]) + tokenizer.encode(text[cut:]) == whole


def test_runs_of_spaces_are_tokens_of_bpe() -> None:
    """The test above would not be worth much if BPE had learnt no run of spaces."""
    tokenizer = trained("bpe", "english")
    assert any(tokenizer.token(index).isspace() for index in range(258, tokenizer.vocab_size))


# ---------------------------------------------------------------- where tokens stand


ODD = (
    "A\u0301E\u0308\u0301 Ünï İstanbul ΣΑΣ ﬁ 가\u1100\u0301\u1161\u11a8 か\u3099 😀\u3000。 <unk> "
)


@pytest.mark.parametrize("folded", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("name", "language"), BOTH)
@given(text=st.one_of(ANY_TEXT, st.text(sorted(set(ODD + "\n")), max_size=12)))
def test_spans(name: str, language: str, folded: tuple[bool, bool], text: str) -> None:
    """The ids are those of `encode`; spans are in order, inside the text and without white space
    around them, and together they hold every character that is no white space."""
    lower, strip = folded
    tokenizer = folding(name, language, lower, strip)
    ids, spans = tokenizer.encode_with_spans(text)
    assert ids == tokenizer.encode(text)
    assert len(ids) == len(spans)
    held: set[int] = set()
    before = (0, 0)
    for index, (start, end) in zip(ids, spans, strict=True):
        assert before[0] <= start <= end <= len(text) and before[1] <= end
        assert text[start:end] == text[start:end].strip()
        if index == EOS and start == end and name != "wordpiece":
            assert text[start] == "\n"
        held.update(range(start, end))
        before = start, end
    lost = {text[i] for i in range(len(text)) if i not in held and not text[i].isspace()}
    if name != "wordpiece":  # it drops control characters and accents
        assert all(not Folding(lower, strip)(c) for c in lost)


@cache
def folding(name: str, language: str, lower: bool, strip: bool) -> Tokenizer:
    config = TextConfig(
        tokenizer=name,
        vocab_size=SIZES.get(name),
        lower=lower,
        strip_accents=strip,
        sentences=name == "wordpiece",
        split="words" if name == "word" else "auto",
    )
    return train_tokenizer([TEXTS[language]], config)


@pytest.mark.parametrize("name", NAMES)
def test_spans_hold_what_the_tokens_say(name: str) -> None:
    """A known token and its part of the text are the same, but for white space and the marks of
    pieces."""
    tokenizer = trained(name, "english")
    for index, (start, end) in zip(*tokenizer.encode_with_spans(ENGLISH), strict=True):
        if index not in (EOS, UNK):
            said = tokenizer.token(index)
            said = {"<09>": "\t"}.get(said, said).removeprefix("##")
            assert said.strip() == ENGLISH[start:end]


def test_spans_of_characters_that_fold_into_more_or_fewer() -> None:
    tokenizer = train_tokenizer(
        ["aei istanbul\n"], TextConfig(tokenizer="char", lower=True, strip_accents=True)
    )
    text = "E\u0301 İs é"
    ids, spans = tokenizer.encode_with_spans(text)
    assert tokenizer.decode(ids) == "e is e"
    assert spans == [(0, 2), (2, 2), (3, 4), (4, 5), (5, 5), (6, 7)]
    plain = train_tokenizer(["i\u0307s\n"], TextConfig(tokenizer="char", lower=True))
    assert plain.encode_with_spans("İs")[1] == [(0, 1), (0, 1), (1, 2)]
    raw = train_tokenizer(["a\n"], TextConfig(tokenizer="byte"))
    assert raw.encode_with_spans("é\nz")[1] == [(0, 1), (0, 1), (1, 1), (2, 3)]


def test_spans_of_sentences() -> None:
    """The `<eos>` after a sentence stands where the sentence ends."""
    tokenizer = folding("wordpiece", "english", False, False)
    text = "It was.  It was\n"
    ids, spans = tokenizer.encode_with_spans(text)
    assert [spans[i] for i, index in enumerate(ids) if index == EOS] == [(7, 7), (15, 15)]
    assert spans[ids.index(EOS) + 1][0] == 9


def test_word_boundaries() -> None:
    """BPE alone has white space in the piece that begins a word; a boundary is any such piece, and
    the end of the line."""
    for name in NAMES:
        if name != "bpe":
            assert trained(name, "english").word_boundaries() is None
    tokenizer = trained("bpe", "english")
    found = tokenizer.word_boundaries()
    assert found is not None and found[0] == EOS and UNK not in found
    named = {tokenizer.token(index) for index in found[1:]}
    assert " " in named and "\t" in named and any(len(n) > 1 and n[1].isalpha() for n in named)
    inner = {tokenizer.token(i) for i in range(2, tokenizer.vocab_size)} - named
    assert not any(token[0].isspace() for token in inner)


# ---------------------------------------------------------------- written and read again


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize(("name", "language"), BOTH)
def test_json_round_trip(name: str, language: str, lower: bool, tmp_path: Path) -> None:
    """What is read back encodes, decodes and signs as what was written."""
    tokenizer = trained(name, language, lower)
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    again = load_tokenizer(path)
    assert type(again) is type(tokenizer)
    assert again.to_json() == tokenizer.to_json()
    assert again.fingerprint == tokenizer.fingerprint
    assert again.vocab_size == tokenizer.vocab_size
    for text in (*TEXTS.values(), "Zq 龘\n"):
        ids = tokenizer.encode(text)
        assert again.encode(text) == ids
        assert again.decode(ids) == tokenizer.decode(ids)
        assert again.unknown(text) == tokenizer.unknown(text)


def test_fingerprints_differ() -> None:
    """Another kind, another text or another setting signs differently."""
    prints = [
        trained(name, language, lower).fingerprint
        for name, language in BOTH
        for lower in (False, True)
        if not (name == "byte" and language == "chinese")  # nothing is learnt: one of each
    ]
    assert len(set(prints)) == len(prints)
    assert all(len(p) == 8 and int(p, 16) >= 0 for p in prints)


@pytest.mark.parametrize("name", NAMES)
def test_lower(name: str) -> None:
    """With `lower`, case makes no difference."""
    tokenizer = trained(name, "english", lower=True)
    assert tokenizer.encode("THE Best of\n") == tokenizer.encode("the best of\n")
    assert UNK not in tokenizer.encode("THE BEST of\n")
    assert tokenizer.unknown("THE BEST of\n") == []


@pytest.mark.parametrize("kept", [0, 1, 10, 0.5, 0.99])
@pytest.mark.parametrize("name", NAMES)
def test_cut_off_file(name: str, kept: float, tmp_path: Path) -> None:
    """A tokenizer.json that ends too soon is bad input, not a traceback."""
    whole = trained(name, "english").to_json()
    cut = int(kept if kept >= 1 else kept * len(whole))
    path = tmp_path / "tokenizer.json"
    path.write_text(whole[:cut], encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        load_tokenizer(path)


def _without(name: str, key: str) -> dict[str, object]:
    settings = json.loads(trained(name, "english").to_json())
    del settings[key]
    return settings  # type: ignore[no-any-return]


DAMAGED: dict[str, object] = {
    "a list": [],
    "a number": 7,
    "nothing": None,
    "empty": {},
    "unknown kind": {"kind": "sentence"},
    "kind is a list": {"kind": ["word"]},
    "word without split": _without("word", "split"),
    "char without vocabulary": _without("char", "vocabulary"),
    "byte without lower": _without("byte", "lower"),
    "bpe without merges": _without("bpe", "merges"),
    "specials missing": {"kind": "char", "lower": False, "vocabulary": ["a", "b"]},
    "specials turned round": {"kind": "word", "lower": False, "split": "words"}
    | {"vocabulary": ["<eos>", "<unk>"]},
    "bpe specials missing": _without("bpe", "vocab") | {"vocab": {"a": 0, "b": 1}, "merges": []},
    "bpe ids are words": _without("bpe", "vocab")
    | {"vocab": {"<unk>": 0, "<eos>": 1, "a": "two"}, "merges": []},
    "merge of unknown pieces": _without("bpe", "merges") | {"merges": [["zz", "yy"]]},
    "merge into an unknown piece": _without("bpe", "merges") | {"merges": [["z", "q"]]},
    "merges are words": _without("bpe", "merges") | {"merges": ["abc"]},
}


@pytest.mark.parametrize("settings", DAMAGED.values(), ids=DAMAGED)
def test_damaged_file(settings: object, tmp_path: Path) -> None:
    """JSON that is no tokenizer is bad input, not a traceback."""
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(InputError):
        load_tokenizer(path)


def test_no_file(tmp_path: Path) -> None:
    """A missing file is named; one that is not UTF-8 is damaged."""
    path = tmp_path / "tokenizer.json"
    with pytest.raises(InputError, match=r"no file .*tokenizer\.json"):
        load_tokenizer(path)
    path.write_bytes(b'{"kind": "\xff"}')
    with pytest.raises(InputError, match="damaged"):
        load_tokenizer(path)


# ---------------------------------------------------------------- the vocabulary


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize(("name", "size"), [("word", 3), ("word", 10), ("char", 12), ("bpe", 262)])
def test_vocabulary_limit(name: str, size: int, language: str) -> None:
    """vocab_size counts everything, the two specials too; a text this rich fills it."""
    tokenizer = train_tokenizer([TEXTS[language]], TextConfig(tokenizer=name, vocab_size=size))
    assert tokenizer.vocab_size == size
    assert len(tokenizer.encode(TEXTS[language])) > 0


def test_min_count() -> None:
    """Types seen fewer than min_count times are unknown."""
    text = "a a a b b c\n"
    for split in ("whitespace", "words"):
        tokenizer = word_tokenizer(text, min_count=2, split=split)
        assert tokenizer.settings()["vocabulary"] == [*SPECIALS, "a", "b"]
        assert tokenizer.encode("a b c") == [2, 3, UNK]
    char = train_tokenizer([text], TextConfig(tokenizer="char", min_count=3))
    assert char.settings()["vocabulary"] == [*SPECIALS, " ", "a"]


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "B", "中", "<unk>", "<eos>", "ab", "é"]), st.integers(0, 3)
    ),
    st.one_of(st.none(), st.integers(2, 8)),
    st.integers(1, 3),
)
def test_build_vocabulary(counts: dict[str, int], size: int | None, min_count: int) -> None:
    """The most frequent first, ties by character, specials in front and only there."""
    from collections import Counter

    vocabulary = build_vocabulary(Counter(counts), size, min_count)
    assert vocabulary[:2] == list(SPECIALS)
    rest = vocabulary[2:]
    assert len(set(vocabulary)) == len(vocabulary)
    assert size is None or len(vocabulary) <= size
    keys = [(-counts[token], token) for token in rest]
    assert keys == sorted(keys)
    eligible = {t for t, n in counts.items() if n >= min_count and t not in SPECIALS}
    assert set(rest) <= eligible
    left_out = [(-counts[token], token) for token in eligible - set(rest)]
    assert not left_out or (len(vocabulary) == size and min(left_out) > max(keys, default=(-9, "")))


@pytest.mark.parametrize(("name", "language"), BOTH)
def test_ties_do_not_depend_on_the_order_of_the_text(name: str, language: str) -> None:
    """The same lines in another order give the same tokenizer, ties and all."""
    lines = TEXTS[language].splitlines(keepends=True) * 2
    config = TextConfig(tokenizer=name, vocab_size={"bpe": 300, "char": 15}.get(name, 12))
    first = train_tokenizer(["".join(lines)], config).to_json()
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        assert train_tokenizer(["".join(lines)], config).to_json() == first


def test_ties_by_character() -> None:
    """Equally frequent words rank by their characters."""
    tokenizer = word_tokenizer("c b a B 中\n", split="whitespace", vocab_size=5)
    assert tokenizer.settings()["vocabulary"] == [*SPECIALS, "B", "a", "b"]


@pytest.mark.parametrize(("name", "language"), BOTH)
def test_blocks_train_as_the_whole(name: str, language: str) -> None:
    """A text that comes in blocks of lines gives the tokenizer of the whole."""
    config = TextConfig(tokenizer=name, vocab_size=SIZES.get(name), split="words")
    blocks = TEXTS[language].splitlines(keepends=True)
    whole = train_tokenizer([TEXTS[language]], config)
    assert train_tokenizer(iter(blocks), config).to_json() == whole.to_json()


@pytest.mark.parametrize("language", TEXTS)
def test_vocabulary_is_of_the_training_text(language: str) -> None:
    """Nothing is in the vocabulary that the training text did not show."""
    text = TEXTS[language]
    word = trained("word", language).settings()["vocabulary"]
    assert all(token in text for token in word[2:])
    char = trained("char", language).settings()["vocabulary"]
    assert set(char[2:]) == set(text) - {"\n"}
    bpe = trained("bpe", language)
    learnt = [bpe.token(index) for index in range(258, bpe.vocab_size)]
    assert learnt
    assert all(token in text for token in learnt if "\N{REPLACEMENT CHARACTER}" not in token)
    assert len(bpe.encode("quixotry 龘")) > 2


def test_bpe_needs_room_for_the_bytes() -> None:
    """A vocabulary smaller than 256 bytes and two specials cannot work."""
    with pytest.raises(InputError, match="258 or more"):
        train_tokenizer(["abc"], TextConfig(tokenizer="bpe", vocab_size=257))
    assert train_tokenizer(["a"], TextConfig(tokenizer="bpe", vocab_size=258)).vocab_size == 258


def test_bpe_merges_what_is_frequent() -> None:
    """A word seen often enough is one token, and the spaces before it belong to it."""
    tokenizer = train_tokenizer(
        ["the cat the dog\n" * 20], TextConfig(tokenizer="bpe", vocab_size=300)
    )
    assert [tokenizer.token(i) for i in tokenizer.encode(" the dog")] == [" the", " dog"]
    assert tokenizer.known("dog") == tokenizer.encode(" dog")[0]
    assert tokenizer.known("zebra") is None


# ---------------------------------------------------------------- what is unknown


def test_unknown_words_and_characters() -> None:
    """One entry per unknown token, in the order of the text; a literal <unk> is not one."""
    word = word_tokenizer("a b <unk> c\n", split="whitespace")
    text = "a X <unk> Y\nX b\n"
    assert word.unknown(text) == ["X", "Y", "X"]
    assert word.encode(text).count(UNK) == 4
    char = trained("char", "english")
    assert char.unknown("it 龘 @\n") == ["龘", "@"]
    assert char.encode("it 龘 @\n").count(UNK) == 2


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("name", NAMES)
@given(text=ANY_TEXT)
def test_unknown_counts_the_unk_ids(name: str, lower: bool, text: str) -> None:
    """len(unknown(text)) is the number of <unk> ids."""
    tokenizer = trained(name, "chinese", lower)
    assert len(tokenizer.unknown(text)) == tokenizer.encode(text).count(UNK)


def test_unknown_is_visible_after_decoding() -> None:
    """Unknown tokens decode to a mark, not to nothing."""
    assert trained("char", "english").decode([UNK]) == "\N{REPLACEMENT CHARACTER}"
    assert trained("byte", "english").decode([UNK]) == "?"
    assert trained("word", "english").decode([UNK]) == "<unk>"


def test_half_a_character_decodes() -> None:
    """A generation that stops inside a character shows the replacement mark."""
    for name in ("byte", "bpe"):
        tokenizer = trained(name, "english")
        ids = tokenizer.encode("a龘")
        assert tokenizer.decode(ids[:-1]).startswith("a")
        assert "\N{REPLACEMENT CHARACTER}" in tokenizer.decode(ids[:-1])


# ---------------------------------------------------------------- words


WORDS = {
    "It's well-read, isn't it?": "It's|well-read|,|isn't|it|?",
    "the dogs’ bowl (empty).": "the|dogs|’|bowl|(|empty|)|.",
    "isn’t it": "isn’t|it",
    "3.5 % of <unk>": "3|.|5|%|of|<unk>",
    "我爱你，GPU！": "我|爱|你|，|GPU|！",
    "かな漢字カナ": "か|な|漢|字|カ|ナ",
    "naïve café_2": "naïve|café_2",
}


@pytest.mark.parametrize("text", WORDS)
def test_words_split(text: str) -> None:
    """Words keep inner apostrophes and hyphens; marks and Chinese characters stand alone."""
    tokenizer = word_tokenizer(text, split="words")
    assert [tokenizer.token(i) for i in tokenizer.encode(text)] == WORDS[text].split("|")


def test_whitespace_split() -> None:
    """Words are what stands between white space, of whatever kind."""
    text = "It's 我爱你， a\tb\u3000c\n"
    tokenizer = word_tokenizer(text, split="whitespace")
    tokens = [tokenizer.token(i) for i in tokenizer.encode(text)]
    assert tokens == ["It's", "我爱你，", "a", "b", "c", "<eos>"]


SPACING = [
    "It was late, very late; wasn't it? No!",
    "He (Tom) said [so]: 50% off…",
    "“Quoted,” she said, ‘twice’.",
    "天地玄黄，宇宙洪荒。日月盈昃！",
    "她说：“我爱你（真的）！”《书》、「话」",
    "他用 GPU 训练 3 次——真的……。",
    "ＦＵＬＬ ＷＩＤＴＨ 字",
    "two\n\nlines\n",
]


@pytest.mark.parametrize("text", SPACING)
def test_word_decode_spaces_as_people_write(text: str) -> None:
    """Marks cling to their words, Chinese has no spaces, newlines stand alone."""
    tokenizer = word_tokenizer(text, split="words")
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("split", ["words", "whitespace"])
@given(data=st.data())
def test_word_decode_can_be_encoded_again(split: str, language: str, data: st.DataObject) -> None:
    """The ids of a decoded text are the ids it was decoded from."""
    tokenizer = word_tokenizer(TEXTS[language], split=split)
    ids = tokenizer.encode(data.draw(near(language)))
    assert tokenizer.encode(tokenizer.decode(ids)) == ids


AUTO = {
    "tokenised English": (" The cat , he said , sat . \n = Title = \n", "whitespace"),
    "Penn Treebank": ("no it was n't black monday\n but while the <unk> fell\n", "whitespace"),
    "Penn Treebank, abbreviations": (
        " mr. <unk> of acme co. says it did n't buy u.s. <unk> 's N shares\n"
        " that 's what N of them 'll do by nov. N mrs. <unk> said\n",
        "whitespace",
    ),
    "Penn Treebank, cased": (
        "Mr. Vinken was n't chairman -LRB- it 's said -RRB- of Elsevier N.V.\n",
        "whitespace",
    ),
    "tokenised by Moses": ("it &apos;s 10 @,@ 000 in a well @-@ known car\n", "whitespace"),
    "tokenised Chinese": ("我们 喜欢 北京 ， 也 喜欢 上海 。\n", "whitespace"),
    "raw prose": ("The cat, he said, sat.\nWell...\n", "words"),
    "raw Chinese": ("天地玄黄，宇宙洪荒。\n", "words"),
    "Chinese without marks": ("天地玄黄\n", "words"),
    "plain words": ("one two three\nfour\n", "whitespace"),
    "human numbers": ("one . two . three . twenty one .\n", "whitespace"),
    "one stray mark": ("The cat, he said, sat.\nWell . . .\nOh. No. Yes. So.\n", "words"),
    "raw, contractions": ("It's done, isn't it? They'll say 'tis so; don't ask.\n", "words"),
    "raw, about <unk>": ("The mark <unk> stands for rare words, as <unk> does here.\n", "words"),
    "raw French": ("Pourquoi ? dit-il ; « rien », répondit-elle !\nC'est tout.\n", "words"),
    "raw Dutch": ("'s Avonds, en 's nachts ook, is 't stil.\nHij komt 's morgens.\n", "words"),
    "raw German": ("Er sagte: »Nein«, z. B. am 3. Mai, und ging.\n", "words"),
    "raw Russian": ("Всё смешалось, как говорится. Да, так и есть.\n", "words"),
    "raw Greek": ("Ήταν, λέει, αργά. Τι ώρα ;\n", "words"),
    "raw Hindi": ("वह घर गया । फिर, कुछ देर बाद, लौटा ।\n", "words"),
    "raw Arabic": ("قال، بعد وقت، نعم. ثم ذهب.\n", "words"),
    "raw Japanese": ("雨が降る。しかし、行く。\n「はい」と言った。\n", "words"),
    "raw Korean": ("비가 온다. 그러나, 간다.\n", "words"),
}


@pytest.mark.parametrize(("text", "split"), AUTO.values(), ids=AUTO)
def test_auto_split_looks_at_the_text(text: str, split: str) -> None:
    """Tokenised text is cut at white space, prose and Chinese into words."""
    tokenizer = word_tokenizer(text, split="auto")
    assert tokenizer.settings()["split"] == split
    assert tokenizer.to_json() == word_tokenizer(text, split=split).to_json()


def test_auto_split_looks_at_more_than_the_first_text() -> None:
    """Labelled texts come one by one, and the first may have no mark at all."""
    texts = ["fine\n", *(["it was , he said , n't bad .\n"] * 3)]
    prose = ["fine\n", *(["It was, he said, not bad.\n"] * 3)]
    for many, split in ((texts, "whitespace"), (prose, "words")):
        tokenizer = train_tokenizer(iter(many), TextConfig(tokenizer="word", split="auto"))
        assert tokenizer.settings()["split"] == split
        assert tokenizer.unknown("".join(many)) == []  # the sample was read and counted once
        assert tokenizer.encode(many[1])


def test_what_was_recognised_is_said() -> None:
    """In a note if the text decided, and in signatures always; other tokenizers have nothing."""
    for text, split in AUTO.values():
        tokenizer = word_tokenizer(text, split="auto")
        (note,) = tokenizer.recognised(TextConfig(tokenizer="word", split="auto"))
        assert ("tokenised already" in note) == (split == "whitespace")
        assert tokenizer.choices == (f"split:{split}",)
        assert tokenizer.recognised(TextConfig(tokenizer="word", split="words")) == []
    for name in NAMES:
        if name != "word":
            assert trained(name, "english").recognised(TextConfig(tokenizer=name)) == []
            assert trained(name, "english").choices == ()


def test_wikitext_like_text() -> None:
    """A literal <unk> is an ordinary known token; @-@ and @,@ stay whole."""
    text = " \n = Robert <unk> = \n \n He is an <unk> @-@ time actor , paid 1 @,@ 000 . \n"
    tokenizer = word_tokenizer(text, split="auto")
    ids = tokenizer.encode(text)
    assert tokenizer.settings()["split"] == "whitespace"
    assert len(ids) == len(text.split()) + text.count("\n")
    assert ids.count(UNK) == text.count("<unk>")
    assert tokenizer.unknown(text) == []
    assert {"@-@", "@,@", "="} <= set(tokenizer.settings()["vocabulary"])


# ---------------------------------------------------------------- accents

ACCENTED = "Où est le garçon ? Ήταν Ёлка à Москва\u0301.\n"
BARE = "Ou est le garcon ? Ηταν Елка a Москва.\n"


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_strip_accents_apart_from_lower(name: str, lower: bool) -> None:
    """Each without the other; what a tokenizer stores makes the same one again."""
    settings = {"tokenizer": name, "lower": lower, "vocab_size": SIZES.get(name)}
    texts = [ACCENTED + BARE]
    kept = train_tokenizer(texts, TextConfig(**settings, strip_accents=False))
    stripped = train_tokenizer(texts, TextConfig(**settings, strip_accents=True))
    assert kept.encode(ACCENTED) != kept.encode(BARE)
    assert stripped.encode(ACCENTED) == stripped.encode(BARE)
    assert (stripped.encode(BARE) == stripped.encode(BARE.lower())) == lower
    assert stripped.unknown(ACCENTED) == stripped.unknown(BARE)
    for tokenizer in (kept, stripped):
        again = type(tokenizer).restore(tokenizer.settings())
        assert again.to_json() == tokenizer.to_json()
        assert again.encode(ACCENTED) == tokenizer.encode(ACCENTED)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_accents_are_as_before_by_default(name: str, lower: bool) -> None:
    """WordPiece removes them if it lower-cases, the others never; nothing new is stored."""
    tokenizer = train_tokenizer(
        [ACCENTED + BARE], TextConfig(tokenizer=name, lower=lower, vocab_size=SIZES.get(name))
    )
    same = tokenizer.encode(ACCENTED) == tokenizer.encode(BARE)
    assert same == (name == "wordpiece" and lower)
    assert "strip_accents" not in tokenizer.to_json()


def test_only_accents_are_stripped() -> None:
    """The dots of Japanese, the vowels of Hindi and the letters of Korean are none."""
    fold = Folding(strip_accents=True)
    for text in ("がぎぐ パピプ", "हिन्दी", "한국어", "ø ß ł", "ไทย"):
        assert fold(text) == text
    assert fold("ệ ñ é e\u0301 ΐ й") == "e n e e ι и"
    assert Folding(lower=True, strip_accents=True)("İÉ") == "ie"
