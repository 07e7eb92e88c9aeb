"""Makes the text that a model is given look like the text that it was trained on."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache, partial
from typing import Literal, get_args

from ..errors import InputError, shown
from .word import CJK

Normalisation = Literal["none", "tokenised", "nfkc", "ccnet"]
#: The ways to normalise a text, by name.
NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)

# Abbreviations after which the full stop stays, besides single capitals (`J.`) and those with an
# inner full stop (`U.S.`): the ones that are frequent in WikiText.
_ABBREVIATIONS = (
    "Mr|Mrs|Ms|Dr|St|No|Nos|Nr|Op|Jr|Sr|Inc|Ltd|Bros|Lt|Sgt|Capt|Col|Gen|Rev|Prof|Hon|vs|pp|var|ssp"
)
_CLITICS = "s|t|re|ve|ll|d|m"
# Words that only tokenised texts have.
_KEPT = "<unk>|<eos>|@[-,.]@|-[lrLR][rcsRCS][bB]-"
_CURLY = re.compile(r"\S*[‘’“”]\S*")
_STRAIGHT = str.maketrans("‘’“”", "''\"\"")
_LETTER = re.compile(r"[^\W_]")
_HAS_CJK = re.compile(f"[{CJK}]")

# What CCNet replaces: each character of the left side by the right side.
_ASCII_FOR = (
    ("，、", ","),
    ("。", "."),
    ("．", ". "),
    ("：∶", ":"),
    ("；", ";"),
    ("？", "?"),
    ("！", "!"),
    ("％", "%"),
    ("～", "~"),
    ("…", "..."),
    ("„“”«»「」《》", '"'),
    ("’´", "'"),
    ("–━►", "-"),
    ("—", " - "),
    ("（", "("),
    ("）", ")"),
    ("【", "["),
    ("】", "]"),
    ("〈", "<"),
    ("〉", ">"),
)
_DIGIT = re.compile(r"\d")


def normalise(text: str, how: str) -> str:
    r"""Normalise a text of one or more lines; every newline stays where it is.

    Args:
        how: `none` returns the text as it is. `tokenised` makes English prose look like WikiText
            (see `tokenised`). `nfkc` is Unicode's normalisation form KC: full-width letters become
            narrow ones and ligatures are taken apart. `ccnet` is what CCNet does to web pages
            before it measures their perplexity (see `ccnet`).

    Raises:
        InputError: there is no normalisation of that name.

    Example:
        >>> normalise("It's well-known, isn't it?", "tokenised")
        "It 's well @-@ known , isn 't it ?"
        >>> normalise("１２ ﬁｔ", "nfkc")
        '12 fit'
        >>> normalise("Où? 在２００８年，", "ccnet")
        'ou? 在0000年,'
    """
    return normaliser(how)(text)


def normaliser(how: str) -> Callable[[str], str]:
    """Return the function that normalises texts; see `normalise`."""
    functions: dict[str, Callable[[str], str]] = {
        "none": str,
        "tokenised": tokenised,
        "nfkc": partial(unicodedata.normalize, "NFKC"),
        "ccnet": ccnet,
    }
    if how not in functions:
        raise InputError(f"no normalisation '{shown(how)}'; there are {', '.join(NORMALISATIONS)}")
    return functions[how]


def tokenised(text: str, treebank: bool = False) -> str:
    """Put spaces round the punctuation of English prose, as tokenised corpora have them.

    WikiText was made with the tokeniser of Moses: marks stand alone, an apostrophe stays with what
    follows it (`didn 't`, `game 's`), and hyphens inside words, commas and full stops inside
    numbers are written `@-@`, `@,@` and `@.@`. Full stops stay with abbreviations and initials.
    Chinese is not cut into words: its punctuation is set apart, nothing more.

    What is tokenised already stays as it is, apart from an apostrophe that begins a word and is no
    `'s`, `'t`, `'re`, `'ve`, `'ll`, `'d` or `'m`: it is taken for a quotation mark.

    Args:
        treebank: the Penn Treebank's form: `did n't`, and hyphens and numbers stay whole.

    Source: `tokenizer.perl` of Moses (Koehn et al. 2007) with the option -a; for WikiText, Merity
    et al. 2017 (arXiv:1609.07843), section 4.3.

    Example:
        >>> tokenised("He didn't sell 1,200 half-empty jars.")
        "He didn 't sell 1 @,@ 200 half @-@ empty jars ."
        >>> tokenised("He didn't sell 1,200 half-empty jars.", treebank=True)
        "He did n't sell 1,200 half-empty jars ."
    """
    if "\n" in text:
        return "\n".join(tokenised(line, treebank) for line in text.split("\n"))
    text = _CURLY.sub(_straight, text)

    def apart(match: re.Match[str]) -> str:
        token = match.group()
        if match.lastgroup == "joint":
            token = f"@{token}@"
        start = match.start()
        return token if start == 0 or text[start - 1].isspace() else f" {token}"

    has_marks = not text.isascii() and _marks().search(text)
    return _tokens(treebank, bool(has_marks)).sub(apart, text)


def ccnet(text: str) -> str:
    """Normalise a text as CCNet does before it scores the text with its language models.

    Letters become lower case, accents and other combining marks are dropped (letters stay
    decomposed: Unicode's form D), digits become 0, typographic and Chinese punctuation becomes
    ASCII, and control characters are dropped, tabs too. The white space at the ends of lines, which
    CCNet drops, stays, so that a text can be normalised in parts.

    Source: Wenzek et al. 2020, "CCNet: Extracting High Quality Monolingual Datasets from Web Crawl
    Data" (arXiv:1911.00359), and `text_normalizer.py` of its code.

    Example:
        >>> ccnet("“Crème” — 25 €…")
        '"creme"  -  00 €...'
    """
    text = text.lower()
    if not text.isascii():
        decomposed = unicodedata.normalize("NFD", text)
        text = "".join([c for c in decomposed if unicodedata.category(c) != "Mn"])
    return _DIGIT.sub("0", text).translate(_ccnet_characters())


@cache
def _ccnet_characters() -> dict[int, str]:
    controls = {code: "" for code in (*range(32), *range(127, 160)) if code != ord("\n")}
    return controls | {ord(c): ascii for group, ascii in _ASCII_FOR for c in group}


def _straight(match: re.Match[str]) -> str:
    """Chinese has curly quotation marks too, so they stay next to Chinese characters and alone."""
    chunk = match.group()
    is_prose = _LETTER.search(chunk) and not _HAS_CJK.search(chunk)
    return chunk.translate(_STRAIGHT) if is_prose else chunk


@cache
def _tokens(treebank: bool, has_marks: bool) -> re.Pattern[str]:
    """Return a pattern that matches every token; those of the group `joint` go between @ and @."""
    char = rf"(?:[^\W_]|{_marks().pattern})" if has_marks else r"[^\W_]"
    if treebank:
        word = rf"{char}+?(?=(?i:n't)(?!{char}))|(?i:n't)(?!{char})|{char}+(?:[.,\-]{char}+)*"
        joint = "(?!)"  # matches nothing
    else:
        word = rf"{char}+(?:(?:(?<!\d)\.|\.(?!\d)){char}+)*"
        joint = rf"(?<=\d)[.,](?=\d)|(?<={char})-(?={char})"
    return re.compile(
        "|".join(
            [
                rf"{_KEPT}|``|''|\.\.+|--+",
                rf"(?<!\S)'(?i:{_CLITICS})(?!{char})|(?<={char})'{char}+",  # 's
                f"(?P<joint>{joint})",
                rf"(?<![\w.])\.{char}+|(?<![\w\-])-{char}+",  # .5 and -5
                rf"(?:(?:[^\W\d_]\.){{2,}}|(?:[A-Z]|{_ABBREVIATIONS})\.)(?!{char})",
                word,
                r"\S",
            ]
        )
    )


@cache
def _marks() -> re.Pattern[str]:
    """Return a pattern of the marks that are part of letters, such as the vowels of Hindi."""
    marks = [chr(c) for c in range(0x300, 0x20000) if unicodedata.category(chr(c))[0] == "M"]
    return re.compile(f"[{''.join(marks)}\u200c\u200d]")
