"""The one rule for texts that people and programs send: what is stored of them, and which ones are refused.

A text is stored in Unicode's form NFC, without spaces at its ends. Its length is the number of code points of what is
stored. It has no control characters (C0, C1) and no separators of lines; a format character only where it joins two
visible ones (ZWNJ, ZWJ), so no text can turn the direction of what is shown after it. A text of several lines may have
line breaks and tabs.
"""

import re
import unicodedata

JOINERS = re.compile("(?<=[^\\s\u200c\u200d])[\u200c\u200d](?=[^\\s\u200c\u200d])")
LAYOUT = "\n\r\t"  # of a text of several lines
REFUSED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # control, format, surrogate, line and paragraph separator


def as_stored(text: str) -> str:
    """What is stored of a text that is not refused."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def fault_of(text: str, shortest: int, longest: int | None, *, several_lines: bool = False) -> str | None:
    """What is wrong with a text, or None. Lengths are in characters; `longest` None: the caller bounds it."""
    length = len(as_stored(text))
    if length < shortest or (longest is not None and length > longest):
        return "must not be empty" if longest is None else f"must have {shortest} to {longest} characters"
    if text.isprintable():
        return None
    seen = JOINERS.sub("", text)
    for character in seen:
        if unicodedata.category(character) in REFUSED and not (several_lines and character in LAYOUT):
            return f"must not contain U+{ord(character):04X}"
    return None
