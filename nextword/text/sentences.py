"""Where a sentence ends, in text whose lines are paragraphs."""

from __future__ import annotations

import re

# A mark that ends a sentence, what may close after it, and white space; not after an initial or a
# title. Tokenised text ("the end . the") ends the same way.
_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\b[A-Z])"
    r"(?P<mark>[.!?][\"'”’)\]]*(?:[ ]+[\"”’)\]](?![^\s]))*)[ \t]+(?=[^\s.!?,;:'’”)\]])"
)
_WIDE_END = re.compile(r"(?P<mark>[。！？…]+[」』”’）]*)[ \t]*(?=[^\s。！？…」』”’）])")


def split_sentences(text: str) -> str:
    """The same text with a line end after every sentence; line ends that are there stay."""
    return _WIDE_END.sub(r"\g<mark>\n", _END.sub(r"\g<mark>\n", text))
