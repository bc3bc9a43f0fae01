"""docs/glossary.md says what each standard term means, where it is, and what it is called in the code."""

import re
from functools import cache
from pathlib import Path

HOME = Path(__file__).parents[2]
PAGE = (HOME / "docs/glossary.md").read_text()
TERM = re.compile(r"^### (.+)$", re.MULTILINE)
NAME = re.compile(r"[A-Za-z_]\w*")
QUOTED = re.compile(r"`([^`]+)`")
FOLDERS = ("client/", "core/", "docs/", "embedded/", "projections/", "protos/", "server/", "tests/", "tools/")
LOOKED_FOR = {
    "aggregate",
    "audit",
    "back-off",
    "catch-up subscription",
    "category",
    "checkpoint",
    "command",
    "commit position",
    "compensation",
    "consistency token",
    "consumer group",
    "data loader",
    "dead letter",
    "deadline",
    "epoch",
    "event",
    "event type",
    "eventual consistency",
    "exclusion of an event",
    "fencing",
    "generation",
    "group commit",
    "health",
    "heartbeat",
    "idempotency",
    "lease",
    "lock",
    "optimistic concurrency",
    "oracle",
    "parked event",
    "parked stream",
    "partition",
    "persistent subscription",
    "process manager",
    "projection",
    "read model",
    "read your writes",
    "rebuild",
    "reconciler",
    "reflection",
    "repair",
    "replay",
    "resume token",
    "revision",
    "saga",
    "snapshot",
    "stream",
    "throttle",
    "time travel",
    "timeout of a call",
    "timeout of a handler",
    "timer",
    "upcaster",
    "verification",
    "view",
    "watch",
    "write-ahead log",
}


def headings() -> list[str]:
    return TERM.findall(PAGE)


def terms() -> list[str]:
    """A heading may have several terms, with a comma between them."""
    return [term for heading in headings() for term in heading.split(", ")]


def entries() -> dict[str, str]:
    """The text below each heading."""
    parts = TERM.split(PAGE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def paths_in(text: str) -> set[str]:
    return {quoted for quoted in QUOTED.findall(text) if quoted.startswith(FOLDERS)}


@cache
def names_in_code() -> frozenset[str]:
    """Names, words of texts, and names of the contract."""
    files = [file for folder in FOLDERS for kind in ("*.py", "*.proto") for file in (HOME / folder).rglob(kind)]
    return frozenset(word for file in files for word in NAME.findall(file.read_text()))


def test_every_term_that_is_looked_for_is_in_the_glossary() -> None:
    assert LOOKED_FOR - set(terms()) == set()


def test_every_term_is_there_once() -> None:
    assert len(terms()) == len(set(terms()))


def test_the_terms_are_in_alphabetical_order() -> None:
    assert headings() == sorted(headings(), key=str.casefold)


def test_every_term_says_where_it_is() -> None:
    assert [heading for heading, text in entries().items() if not paths_in(text)] == []


def test_every_path_of_the_glossary_exists() -> None:
    assert sorted(path for path in paths_in(PAGE) if not (HOME / path).exists()) == []


def test_every_name_of_the_glossary_is_in_the_code() -> None:
    named = {quoted for quoted in QUOTED.findall(PAGE) if NAME.fullmatch(quoted)}
    assert "Decider" in named
    assert sorted(named - names_in_code()) == []
