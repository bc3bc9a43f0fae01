"""The normal form of an e-mail address: all its spellings have the same one. (docs/adr/0019)

Compared with the former form it only merges more spellings: addresses that were one stay one.
"""

import hashlib
import re
import unicodedata

DOT = "."
DOTS = re.compile("[\u3002\uff0e\uff61]")  # the characters that IDNA accepts as a dot between labels
ACE_PREFIX = "xn--"  # prefix of a label in its ASCII form
# invisible: soft hyphen, grapheme joiner, zero-width and directional marks, variation selectors, byte order mark
INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")


def normal_form(email: str) -> str:
    """The same text for all spellings of one address. Case and sharp s (ss) do not count, anywhere in it."""
    local, at, domain = _folded(_former_form(email)).rpartition("@")
    labels = DOTS.sub(DOT, domain).rstrip(DOT).split(DOT)
    return f"{local}{at}{DOT.join(_readable(label) for label in labels)}"


def email_hash(email: str) -> str:
    """The name of an address's claim stream. It does not reveal the address."""
    return _sha256(normal_form(email))


def former_email_hash(email: str) -> str:
    """The name of the claim stream in releases before this normal form; for most spellings it is the same."""
    return _sha256(_former_form(email))


def claim_keys(email: str) -> tuple[str, ...]:
    """The hashes under which an address is claimed: of its normal form, and of the former one if it differs."""
    return tuple(dict.fromkeys((email_hash(email), former_email_hash(email))))


def _former_form(email: str) -> str:
    return unicodedata.normalize("NFKC", email).casefold()


def _folded(text: str) -> str:
    """Folding may produce what normalising changes again, so both are repeated until neither changes anything."""
    while (folded := _former_form(INVISIBLE.sub("", text))) != text:
        text = folded
    return text


def _readable(label: str) -> str:
    """A label in its readable form: `xn--mnchen-3ya` is `münchen`. An invalid ASCII form stays as it is."""
    if not label.startswith(ACE_PREFIX):
        return label
    try:
        text = _folded(label.removeprefix(ACE_PREFIX).encode("ascii").decode("punycode"))
    except UnicodeError:
        return label
    stands_alone = text and "@" not in text and DOT not in text and not text.startswith(ACE_PREFIX)
    return text if stands_alone and not DOTS.search(text) else label


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
