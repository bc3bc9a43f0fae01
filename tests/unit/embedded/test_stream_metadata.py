"""Stream metadata is read as leniently as a real server reads it, key by key."""

import pytest

from embedded.eventstore.stream_metadata import parse

TWO = {"$maxCount": 2}


@pytest.mark.parametrize(
    "data",
    [
        b'{"$maxCount":2}',
        b'\xef\xbb\xbf{"$maxCount":2}',
        b' {"$maxCount" : 2} trailing',
        b"{'$maxCount':2}",
        b'{"$maxCount":2,}',
        b'{"$maxCount":3,"$maxCount":2}',
        b'{"$maxCount":2,"$tb":-1}',
        b'{"$maxCount":2,"$maxAge":0,"$cacheControl":-1}',
    ],
)
def test_of_a_lenient_form(data: bytes) -> None:
    assert parse(data) == TWO


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{bad", b"[1]", b'"x"', b"\xff", b'/*c*/{"$maxCount":2}',
        b'{"$maxCount":"2"}', b'{"$maxCount":2.0}', b'{"$maxCount":1e0}', b'{"$maxCount":true}', b'{"$maxCount":null}',
        b'{"$maxCount":2,"$tb":"3"}', b'{"$maxCount":2,"$cacheControl":"x"}', b'{"$maxCount":2,"$tmp":"x"}',
        b'{"$maxCount":2,"$acl":"x"}', b'{"$maxCount":2,"$acl":{"$r":5}}', b'{"$maxCount":2,"$acl":{"$r":["a",5]}}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_one_that_cannot_be_used_is_none(data: bytes) -> None:
    assert parse(data) is None


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b'{"$tb":2,"$maxCount":0}', {"$tb": 2}),
        (b'{"$maxCount":2147483648}', {}),
        (b'{"$maxAge":-5,"mine":{"$maxCount":1}}', {"mine": {"$maxCount": 1}}),
        (b'{"$tmp":true,"$acl":{"$r":["a","b"],"$w":"c","$d":null}}',
         {"$tmp": True, "$acl": {"$r": ["a", "b"], "$w": "c", "$d": None}}),
        (b"""{'it\\'s "so"': 'a,}', "b": '\\u00fc',}""", {"it's \"so\"": "a,}", "b": "ü"}),
        (b"{'list': [1, 'two', ], 'open': 'x'}", {"list": [1, "two"], "open": "x"}),
    ],
)  # fmt: skip
def test_bounds_that_are_none_are_left_out(data: bytes, kept: dict[str, object]) -> None:
    assert parse(data) == kept
