"""Splits paragraphs into sentences."""

from __future__ import annotations

import re

# A sentence ends with a mark, perhaps closing quotes or brackets, and white space; but not after an
# initial or a title. In tokenised text ("the end . the") the mark stands alone.
_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\b[A-Z])"
    r"(?P<mark>[.!?][\"'”’)\]]*(?:[ ]+[\"”’)\]](?![^\s]))*)[ \t]+(?=[^\s.!?,;:'’”)\]])"
)
_WIDE_END = re.compile(r"(?P<mark>[。！？…]+[」』”’）]*)[ \t]*(?=[^\s。！？…」』”’）])")


def split_sentences(text: str) -> str:
    """Put every sentence on a line of its own: the space after a sentence becomes a newline.
    Newlines of the text stay.

    Example:
        >>> split_sentences("It rains. We stay.")
        'It rains.\\nWe stay.'
    """
    return _WIDE_END.sub(r"\g<mark>\n", _END.sub(r"\g<mark>\n", text))
