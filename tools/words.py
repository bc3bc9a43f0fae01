"""The word check of `make lint`: it finds words that this repository does not use (`words.toml`)."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
CHECKED = ("*.py", "*.md", "*.proto", "*.toml", "*.yml", "Makefile", "Dockerfile")
MAX_SHOWN_LENGTH = 100  # characters of a line


class Found(NamedTuple):
    """A word in a line, counted from 1."""

    path: str
    number: int
    line: str
    word: str


@dataclass(frozen=True, slots=True)
class Word:
    """`exempt` has patterns of paths in which it may be used."""

    text: str
    instead: str
    reason: str
    exempt: Sequence[str] = ()
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        """A word is found as a part of names too; one that ends with an underscore is the beginning of a constant."""
        if self.text.endswith("_"):
            pattern = re.compile(rf"(?<!\w){re.escape(self.text)}")
        else:
            pattern = re.compile(rf"(?<![a-z]){re.escape(self.text)}(?![a-z])", re.IGNORECASE)
        object.__setattr__(self, "pattern", pattern)


class Rules:
    """The content of `words.toml`. Raises `ValueError` for a rule without its reason."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.exclude = content["exclude"]
        self.allow = [(*entry.split(":", 1), reason) for entry, reason in content["allow"].items()]
        self.words = [
            Word(text, row["instead"], row["reason"], tuple(row.get("except", {})))
            for text, row in content["word"].items()
        ]
        reasons = [*self.exclude.values(), *content["allow"].values()]
        if not all(reason.strip() for reason in (*reasons, *(word.reason for word in self.words))):
            raise ValueError("every rule needs a reason")

    def is_checked(self, path: str) -> bool:
        return any(fnmatchcase(Path(path).name, kind) for kind in CHECKED) and not matches(path, self.exclude)

    def search(self, path: str, text: str) -> Iterator[Found]:
        """The words in a file that are not allowed there."""
        words = [word for word in self.words if not matches(path, word.exempt)]
        for number, line in enumerate(text.splitlines(), 1):
            for word in words:
                if word.pattern.search(line) and not self._is_allowed(path, line):
                    yield Found(path, number, line.strip(), word.text)

    def _is_allowed(self, path: str, line: str) -> bool:
        return any(path == allowed and part in line for allowed, part, _ in self.allow)


def matches(path: str, patterns: Sequence[str] | Mapping[str, str]) -> bool:
    return any(fnmatchcase(path, pattern.replace("**/", "*").replace("**", "*")) for pattern in patterns)


def rules() -> Rules:
    return Rules(tomllib.loads((HERE / "words.toml").read_text()))


def files(root: Path) -> list[str]:
    """The files of the repository, as git lists them, also those that are not committed yet."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    return subprocess.run(listed, cwd=root, check=True, capture_output=True, text=True).stdout.splitlines()  # no input


def main() -> int:
    checked, root = rules(), HERE.parent
    found = [
        one
        for path in files(root)
        if checked.is_checked(path) and (root / path).is_file()
        for one in checked.search(path, (root / path).read_text())
    ]
    terms = {word.text: word.instead for word in checked.words}
    for one in found:
        line = one.line[:MAX_SHOWN_LENGTH]
        sys.stderr.write(f"{one.path}:{one.number}: {one.word!r}: say {terms[one.word]}\n    {line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
