"""Normalised texts: prose that looks like tokenised text, Unicode's form KC, CCNet's form."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from nextword import InputError
from nextword.text.normalise import NORMALISATIONS, normalise, tokenised
from nextword.text.word import guess_split

PROSE = st.text(
    st.sampled_from("aZé5０ \n.,-—'’\"“”()@$<>`_!?…中文，。がहि\u0301\u200dſΣİﬁ\t\r\x00\x85"),
    max_size=30,
)


@pytest.mark.parametrize(
    ("prose", "wikitext"),
    [
        ("The dog barks.", "The dog barks ."),
        ("He didn't, she won't.", "He didn 't , she won 't ."),
        ("It's the games' end; we've", "It 's the games ' end ; we 've"),
        ("a well-known 30-year-old", "a well @-@ known 30 @-@ year @-@ old"),
        ("1,364 of 24.5 (9.4 in)", "1 @,@ 364 of 24 @.@ 5 ( 9 @.@ 4 in )"),
        ("$30,000, 5% and £2.", "$ 30 @,@ 000 , 5 % and £ 2 ."),
        ('She said: "Go!"', 'She said : " Go ! "'),
        ("“Don’t,” he said… ‘No.’", "\" Don 't , \" he said … ' No. '"),
        ("Mr. J. Smith (U.S. Army), St. Louis.", "Mr. J. Smith ( U.S. Army ) , St. Louis ."),
        ("It is, e.g., on 5 p.m. or U.S.A.", "It is , e.g. , on 5 p.m. or U.S.A."),
        ("About.com and Amazon.com.", "About.com and Amazon.com ."),
        ("29–46–7 and/or -5, .69", "29 – 46 – 7 and / or -5 , .69"),
        ("Wait... what?! Yes--no", "Wait ... what ? ! Yes -- no"),
        ("O'Brien's 1990's [sic]", "O 'Brien 's 1990 's [ sic ]"),
        ("two  blanks\n\nand a line.\n", "two  blanks\n\nand a line .\n"),
        ("他说：“你好，世界。”", "他说 ： “ 你好 ， 世界 。 ”"),
        ("हिन्दी, é", "हिन्दी , é"),
    ],
)  # fmt: skip
def test_prose_becomes_like_wikitext(prose: str, wikitext: str) -> None:
    assert normalise(prose, "tokenised") == wikitext


@pytest.mark.parametrize(
    ("prose", "penn"),
    [
        ("He didn't, she won't.", "He did n't , she wo n't ."),
        ("I CAN'T; it's 1,364.5 well-known", "I CA N'T ; it 's 1,364.5 well-known"),
        ("Mr. Smith isn't", "Mr. Smith is n't"),
    ],
)
def test_prose_becomes_like_the_penn_treebank(prose: str, penn: str) -> None:
    assert tokenised(prose, treebank=True) == penn


@pytest.mark.parametrize(
    "text",
    [
        "The game 's opening theme was sung , it wasn 't until 1985 .",
        "some 10 @,@ 247 and 24 @.@ 5 cm of cease @-@ fire <unk> / = = Title = =",
        'the Blue Jackets \' record of 29 – 46 – 7 ( U.S. ) ... " x " $ 5 & 80 km / h',
        "`` it is '' -lrb- 5 % -rrb-",
    ],
)
def test_tokenised_text_stays(text: str) -> None:
    assert normalise(text, "tokenised") == text
    if "wasn 't" not in text:
        assert tokenised(text, treebank=True) == text


def test_tokenised_prose_is_recognised_as_tokenised() -> None:
    prose = "He came, he saw. It isn't much; it's well-known.\n"
    assert guess_split(prose) == "words"
    assert guess_split(normalise(prose, "tokenised")) == "whitespace"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Ａ１，ﬁ ㎞ ½ ①", "A1,fi km 1⁄2 1"),
        ("（你好）！\n全角", "(你好)!\n全角"),
        ("e\u0301", "é"),
    ],
)
def test_nfkc(text: str, normal: str) -> None:
    assert normalise(text, "nfkc") == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Où est L'Élève ?", "ou est l'eleve ?"),
        ("In 1999, ٣ or ３ of 2½", "in 0000, 0 or 0 of 0½"),
        ("“a” «b» „c“ 「d」 《e》", '"a" "b" "c" "d" "e"'),
        ("你好，世界。（１２）【x】、；：？！％～", "你好,世界.(00)[x],;:?!%~"),
        ("a—b –c ━ ► …．´’∶〈〉", "a - b -c - - .... '':<>"),
        ("a\tb\r\n\x00c\x85d\x7f\n", "ab\ncd\n"),
        ("ぎ 각", "き \u1100\u1161\u11a8"),
        (" ‘kept’ ", " ‘kept' "),
    ],
)
def test_ccnet(text: str, normal: str) -> None:
    assert normalise(text, "ccnet") == normal


def test_none_changes_nothing_and_other_names_are_refused() -> None:
    assert normalise("Ａ  b.\t", "none") == "Ａ  b.\t"
    with pytest.raises(
        InputError, match="no normalisation 'moses'; there are none, tokenised, nfkc"
    ):
        normalise("a", "moses")


@given(PROSE)
@pytest.mark.parametrize("how", ["none", "nfkc", "ccnet"])
def test_twice_is_once(how: str, text: str) -> None:
    once = normalise(text, how)
    assert normalise(once, how) == once


@given(PROSE)
@example("'a")
@pytest.mark.parametrize("treebank", [False, True])
def test_tokenised_twice_is_once(treebank: bool, text: str) -> None:
    """But for an apostrophe before a letter, which is taken for a quotation mark."""
    once = tokenised(text, treebank)
    assume(not any(word[0] == "'" and len(word) > 1 for word in once.split()))
    assert tokenised(once, treebank) == once


@given(PROSE, PROSE)
@pytest.mark.parametrize("how", NORMALISATIONS)
def test_a_text_may_be_normalised_in_parts(how: str, first: str, second: str) -> None:
    """They are cut as corpora are encoded: after a newline, or between a word and a space."""
    for left, right in ((first + "\n", second), (first.rstrip() + "x", " " + second)):
        assert normalise(left, how) + normalise(right, how) == normalise(left + right, how)


@given(PROSE)
@pytest.mark.parametrize("how", NORMALISATIONS)
def test_lines_stay_lines(how: str, text: str) -> None:
    assert normalise(text, how).count("\n") == text.count("\n")


@given(PROSE)
def test_tokenised_changes_only_blanks_and_marks(text: str) -> None:
    """Without what is in a text, nothing is lost: letters stay in their order."""
    letters = [c for c in text if c.isalnum()]
    assert [c for c in tokenised(text) if c.isalnum()] == letters


@given(st.text())
def test_ccnet_leaves_no_marks_digits_or_controls(text: str) -> None:
    for character in normalise(text, "ccnet"):
        assert unicodedata.category(character) not in ("Mn", "Cc") or character == "\n"
        assert not character.isdecimal() or character == "0"
