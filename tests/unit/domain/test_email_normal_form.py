"""Which spellings of an e-mail address are one address, and which are two."""

import hashlib

import pytest

from core.domain.email.normal_form import claim_keys, email_hash, former_email_hash, normal_form

MUNICH = "info@m\u00fcnchen.de"
STREET = "info@strasse.de"

SAME = [
    ("case", "ANN@Example.ORG", "ann@example.org"),
    ("full width letters", "\uff41nn@example.org", "ann@example.org"),
    ("composed and decomposed", "info@mu\u0308nchen.de", MUNICH),
    ("soft hyphen in the local part", "an\u00adn@example.org", "ann@example.org"),
    ("soft hyphen in the domain", "ann@exam\u00adple.org", "ann@example.org"),
    ("zero width space", "an\u200bn@example.org", "ann@example.org"),
    ("trailing dot of the domain", "ann@example.org.", "ann@example.org"),
    ("ideographic full stop", "ann@example\u3002org", "ann@example.org"),
    ("ASCII form of the domain", "info@xn--mnchen-3ya.de", MUNICH),
    ("ASCII form in capitals", "info@XN--MNCHEN-3YA.DE", MUNICH),
    ("sharp s in the local part", "stra\u00dfe@example.org", "strasse@example.org"),
    ("sharp s in the domain", "info@stra\u00dfe.de", STREET),
    ("ASCII form of a sharp s", "info@xn--strae-oqa.de", STREET),
    ("capital sharp s", "info@STRA\u1e9eE.de", STREET),
    ("final sigma", "\u03bf\u03b4\u03bf\u03c2@example.gr", "\u039f\u0394\u039f\u03a3@example.gr"),
    ("dotted capital I and its fold", "\u0130@example.org", "i\u0307@example.org"),
]
DIFFERENT = [
    ("dots in the local part", "a.nn@example.org", "ann@example.org"),
    ("a tag behind a plus", "ann+shop@example.org", "ann@example.org"),
    ("another domain", "ann@example.com", "ann@example.org"),
    ("accents", "info@munchen.de", MUNICH),
    ("look-alikes of another script", "\u0430nn@example.org", "ann@example.org"),
    ("a hyphen that is shown", "an-n@example.org", "ann@example.org"),
    ("a trailing dot of the local part", "ann.@example.org", "ann@example.org"),
    ("an ASCII form that is none", "info@xn--\u00fc.de", "info@\u00fc.de"),
]
SPELLINGS = sorted({text for _, *pair in (*SAME, *DIFFERENT) for text in pair})


@pytest.mark.parametrize(("one", "other"), [pair for _, *pair in SAME], ids=[name for name, *_ in SAME])
def test_spellings_of_one_address_have_one_hash(one: str, other: str) -> None:
    assert email_hash(one) == email_hash(other)


@pytest.mark.parametrize(("one", "other"), [pair for _, *pair in DIFFERENT], ids=[name for name, *_ in DIFFERENT])
def test_spellings_of_two_addresses_have_two(one: str, other: str) -> None:
    assert email_hash(one) != email_hash(other)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_normal_form_is_its_own_normal_form(spelling: str) -> None:
    assert normal_form(normal_form(spelling)) == normal_form(spelling)


def test_no_character_makes_a_form_that_changes_again() -> None:
    for character in map(chr, (*range(0x80, 0x3100), *range(0xA000, 0xAC00, 7), *range(0xF900, 0x10000, 3))):
        spelling = f"a{character}b@c{character}d.org"
        assert normal_form(normal_form(spelling)) == normal_form(spelling), ascii(character)


@pytest.mark.parametrize("odd", ["", "@", "a@", "@b", "a", "a@.", "a@xn--", "a@xn--\U0010ffff", "a@xn--a-.b"])
def test_any_text_has_a_normal_form(odd: str) -> None:
    assert normal_form(normal_form(odd)) == normal_form(odd)


def test_the_hash_of_a_plain_address_is_that_of_former_releases() -> None:
    plain = "ann.o-neil+shop@mail.example.org"
    assert claim_keys(plain) == (hashlib.sha256(plain.encode()).hexdigest(),)
    assert claim_keys(plain.upper()) == claim_keys(plain)


@pytest.mark.parametrize("one", SPELLINGS)
def test_what_was_one_address_in_former_releases_still_is(one: str) -> None:
    for other in SPELLINGS:
        if former_email_hash(one) == former_email_hash(other):
            assert email_hash(one) == email_hash(other)


def test_an_address_whose_former_form_differs_is_claimed_under_both() -> None:
    assert claim_keys("ann@example.org.") == (email_hash("ann@example.org"), former_email_hash("ann@example.org."))
