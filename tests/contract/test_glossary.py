"""docs/glossary.md says what each standard term means and where it is, and which term a word of the code stands for."""

import re
from functools import cache
from pathlib import Path
from token import NAME
from tokenize import tokenize

HOME = Path(__file__).parents[2]
PAGE, _, WORDS = (HOME / "docs/glossary.md").read_text().partition("\n## Words of the code\n")
TERM = re.compile(r"^### (.+)$", re.MULTILINE)
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


def rows() -> list[tuple[str, set[str]]]:
    """Of the table of words: the file or folder, and the words that it is said to use."""
    cells = [line.strip("| ").split(" | ") for line in WORDS.splitlines() if line.startswith("| `")]
    return [(QUOTED.findall(where)[0], set(QUOTED.findall(words))) for where, words in cells]


@cache
def names_in(file: Path) -> set[str]:
    """Without comments and texts, in which a word may mean anything."""
    with file.open("rb") as source:
        return {token.string for token in tokenize(source.readline) if token.type == NAME}


def uses(path: str, word: str) -> bool:
    """As a name, or as the name of the file; a word that ends with an underscore is the beginning of names."""
    if word == Path(path).stem:
        return True
    files = (HOME / path).rglob("*.py") if path.endswith("/") else [HOME / path]
    return any(
        name == word or (word.endswith("_") and name.startswith(word)) for file in files for name in names_in(file)
    )


def test_every_term_that_is_looked_for_is_in_the_glossary() -> None:
    assert LOOKED_FOR - set(terms()) == set()


def test_every_term_is_there_once() -> None:
    assert len(terms()) == len(set(terms()))


def test_the_terms_are_in_alphabetical_order() -> None:
    assert headings() == sorted(headings(), key=str.casefold)


def test_every_term_says_where_it_is() -> None:
    assert [heading for heading, text in entries().items() if not paths_in(text)] == []


def test_every_path_of_the_glossary_exists() -> None:
    paths = paths_in(PAGE) | {path for path, _ in rows()}
    assert sorted(path for path in paths if not (HOME / path).exists()) == []


def test_every_word_that_the_glossary_explains_is_used_where_it_says() -> None:
    assert rows() != []
    assert [(path, word) for path, words in rows() for word in sorted(words) if not uses(path, word)] == []
