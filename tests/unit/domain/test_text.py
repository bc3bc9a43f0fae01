"""What texts may be, and what is stored of them."""

import pytest

from core.domain.text import as_stored, fault_of


@pytest.mark.parametrize(
    "text",
    ["Ann", "Zoë", "Łódź", "山田太郎", "אבג", "نعمة‌الله", "👩‍💻", "👨‍👩‍👧", "❤️‍🔥", "क्‍ष", "O'Neil & Sons", "a\u00a0b"],
)
def test_a_text_in_any_language_is_taken(text: str) -> None:
    assert fault_of(text, 1, 200) is None
    assert as_stored(text) == text


@pytest.mark.parametrize(
    "character",
    [
        "\0", "\x1b", "\x7f", "\x85", "\n", "\t", "\u061c", "\u00ad", "\u200b", "\u200e", "\u202e", "\u2028", "\u2029",
        "\u2066", "\ufeff", "\U000e0041",
    ],
)  # fmt: skip
@pytest.mark.parametrize("text", ["A{}b", "{}Ab", "Ab{}"])
def test_control_and_format_characters_are_refused_wherever_they_are(text: str, character: str) -> None:
    assert fault_of(text.format(character), 1, 200) == f"must not contain U+{ord(character):04X}"


@pytest.mark.parametrize("text", ["\u200dAnn", "Ann\u200c", "A \u200dnn", "A\u200d\u200dnn"])
def test_a_joiner_that_joins_nothing_is_refused(text: str) -> None:
    assert fault_of(text, 1, 200) in ("must not contain U+200C", "must not contain U+200D")


def test_a_text_of_several_lines_has_breaks_and_tabs_and_nothing_else_of_the_kind() -> None:
    assert fault_of("one\r\n\ttwo", 1, None, several_lines=True) is None
    assert fault_of("one\x0btwo", 1, None, several_lines=True) == "must not contain U+000B"


def test_the_length_is_that_of_what_is_stored() -> None:
    decomposed, padded = "e\u0301" * 10, "   " + "x" * 10 + "   "
    assert (as_stored(decomposed), as_stored(padded)) == ("é" * 10, "x" * 10)
    for text in (decomposed, padded):
        assert fault_of(text, 1, 10) is None
        assert fault_of(text, 1, 9) == "must have 1 to 9 characters"


@pytest.mark.parametrize("text", ["", "   ", "\u3000"])
def test_spaces_are_no_text(text: str) -> None:
    assert fault_of(text, 1, 10) == "must have 1 to 10 characters"
    assert fault_of(text, 1, None) == "must not be empty"


@pytest.mark.parametrize("text", ["Ann", " Zoe\u0301 ", "👩‍💻"])
def test_what_is_stored_stays_as_it_is(text: str) -> None:
    assert as_stored(as_stored(text)) == as_stored(text)
