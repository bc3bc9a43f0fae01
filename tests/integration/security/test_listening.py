"""Where a process that starts listens, and what it says about that.

What keeps one from starting: `tests/integration/test_bad_settings.py`.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest

from tests.integration.security.test_who_may_call import key_of, write_keys
from tests.support.certificates import Authority
from tests.support.processes import Running, running

WITHIN = 10.0  # seconds
EVERYWHERE = "0.0.0.0"  # that is what is tested
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


class Closed:
    """Settings of a process with TLS and API keys, and what its clients need."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority()
        self.authority.issue(directory / "tls.pem", directory / "tls.key")
        self.tls = {"TLS_CERTIFICATE": str(directory / "tls.pem"), "TLS_KEY": str(directory / "tls.key")}
        self.keys = {"API_KEYS_FILE": str(write_keys(directory / "keys.toml", operator=["ops.read"]))}


@pytest.fixture
def closed(tmp_path: Path) -> Closed:
    return Closed(tmp_path)


@contextmanager
def started(eventstore_uri: str, **settings: str) -> Iterator[Running]:
    given = {"EVENTSTORE_URI": eventstore_uri, "METRICS_PORT": "0", **settings}
    environment = {f"ORDERSTREAM_{name}": value for name, value in given.items()}
    with running("server", "commands", "--port", "0", environment=environment) as process:
        yield process


def logged(process: Running, event: str) -> Mapping[str, Any] | None:
    """The line of the log that begins so."""
    lines = [json.loads(line) for line in process.errors().splitlines() if line.startswith("{")]
    return next((line for line in lines if str(line["event"]).startswith(event)), None)


def metrics(process: Running, authority: Authority | None) -> str:
    context = ssl.create_default_context(cadata=authority.pem.decode()) if authority else None
    scheme = "https" if authority else "http"
    with urlopen(f"{scheme}://{process.ready['metrics']}/metrics", context=context, timeout=WITHIN) as reply:
        return str(reply.read().decode())


def reflects(process: Running, credentials: grpc.ChannelCredentials | None) -> str:
    """OK, or the code of the refusal of an operator."""
    address = process.ready["address"].replace(EVERYWHERE, "127.0.0.1")
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with channel:
        call: Any = channel.stream_stream(REFLECTION)
        operator = (("authorization", f"Bearer {key_of('operator')}"),)
        try:
            list(call(iter([b"\x3a\x00"]), metadata=operator, timeout=WITHIN))
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def test_on_loopback_an_open_process_starts_and_says_so(eventstore_uri: str) -> None:
    with started(eventstore_uri) as process:
        assert reflects(process, None) == "OK"
        assert "orderstream_insecure 0.0" in metrics(process, None)
        said = logged(process, "insecure: loopback only")
    assert said is not None
    assert said["level"] == "info"


def test_on_loopback_a_closed_process_starts_and_has_nothing_to_say(eventstore_uri: str, closed: Closed) -> None:
    with started(eventstore_uri, **closed.tls, **closed.keys) as process:
        assert reflects(process, closed.authority.client()) == "OK"
        assert logged(process, "insecure") is None


def test_elsewhere_a_closed_process_starts_without_reflection(eventstore_uri: str, closed: Closed) -> None:
    with started(eventstore_uri, HOST=EVERYWHERE, **closed.tls, **closed.keys) as process:
        assert reflects(process, closed.authority.client()) == "UNIMPLEMENTED"
        assert "orderstream_insecure 0.0" in metrics(process, closed.authority)
        assert logged(process, "insecure") is None


def test_elsewhere_reflection_is_on_if_it_is_wanted(eventstore_uri: str, closed: Closed) -> None:
    with started(eventstore_uri, HOST=EVERYWHERE, REFLECTION="true", **closed.tls, **closed.keys) as process:
        assert reflects(process, closed.authority.client()) == "OK"


@pytest.mark.parametrize("half", ["nothing", "tls", "keys"])
def test_elsewhere_a_process_that_may_be_open_starts_with_a_warning(
    eventstore_uri: str, closed: Closed, half: str
) -> None:
    settings = {"nothing": {}, "tls": closed.tls, "keys": closed.keys}[half]
    with started(eventstore_uri, HOST=EVERYWHERE, INSECURE="true", **settings) as process:
        assert "orderstream_insecure 1.0" in metrics(process, closed.authority if half == "tls" else None)
        said = logged(process, "insecure: ORDERSTREAM_INSECURE=true")
    assert said is not None
    assert said["level"] == "warning"
    assert len(said["missing"]) == (2 if half == "nothing" else 1)
