"""A setting that cannot be used ends any process at its start: one line that names it, exit code 2, no secret."""

import socket
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from projections.__main__ import main as projections
from server.__main__ import main as server
from server.tail import main as tail

SECRET = "s3cr3t-0f-ours"
ROLES: dict[str, tuple[Callable[[], int], list[str]]] = {
    "commands": (server, ["commands", "--port", "0"]),
    "queries": (server, ["queries", "--port", "0"]),
    "processes": (server, ["processes", "--port", "0"]),
    "projections": (projections, ["--port", "0"]),
    "store check": (server, ["store", "check"]),
    "tail": (tail, []),
}
SERVING = ["commands", "queries", "processes", "projections"]
Started = Callable[..., str]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def complaint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Started:
    """Start a role with settings; the one line that it ends with."""

    def start(role: str, code: int = 2, **settings: str) -> str:
        main, arguments = ROLES[role]
        for name, value in settings.items():
            monkeypatch.setenv(f"ORDERSTREAM_{name}", value)
        monkeypatch.setattr(sys, "argv", [role, *arguments])
        assert main() == code
        printed = capsys.readouterr()
        assert SECRET not in printed.out + printed.err
        [line] = [line for line in printed.err.splitlines() if line.startswith("orderstream: ")]
        assert "Traceback" not in printed.err
        return line

    return start


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (f"esdb://user:{SECRET}@host?colour=red", "'colour' is not a parameter of an address"),
        (f"esdb://user:{SECRET}/@host", "user and password must be percent-encoded"),
        ("esdb://host", "wants to know who we are"),
        ("esdb://host?tls=false&nodePreference=follower", "nodePreference must be leader"),
    ],
)
def test_an_address_of_the_event_store(complaint: Started, role: str, uri: str, says: str) -> None:
    line = complaint(role, EVENTSTORE_URI=uri)
    assert line.startswith("orderstream: ORDERSTREAM_EVENTSTORE_URI: ")
    assert says in line


@pytest.mark.parametrize("role", ROLES)
def test_half_of_the_credentials(complaint: Started, role: str) -> None:
    line = complaint(role, EVENTSTORE_PASSWORD=SECRET)
    assert "ORDERSTREAM_EVENTSTORE_USERNAME: is missing" in line


@pytest.mark.parametrize("role", ["queries", "projections"])
@pytest.mark.parametrize(
    "uri",
    [
        f"mongodb://user:{SECRET}/x@host",
        f"mongodb://user:{SECRET}@",
        f"mongo://user:{SECRET}@host",
        f"mongodb://user:x?{SECRET}=1&y=2@host/z",
    ],
)
def test_an_address_of_the_view_store(complaint: Started, role: str, uri: str) -> None:
    assert "ORDERSTREAM_MONGO_URI: " in complaint(role, MONGO_URI=uri, EVENTSTORE_URI="esdb://127.0.0.1:9?tls=false")


@pytest.mark.parametrize("role", SERVING)
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LOG_LEVEL", "loud", "'LOUD'"),
        ("METRICS_PORT", "many", "not 'many'"),
        ("METRICS_PORT", "70000", "65535"),
        ("GRACE", "-1", "greater than or equal to 0, not '-1'"),
        ("EVENTSTORE_CA_FILE", "/not/there.pem", "cannot read /not/there.pem"),
    ],
)
def test_a_value_that_breaks_its_rule(complaint: Started, role: str, name: str, value: str, says: str) -> None:
    line = complaint(role, **{name: value})
    assert line.startswith(f"orderstream: ORDERSTREAM_{name}: ")
    assert says in line


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("VIEWS", "order_list", "is not JSON"),
        ("VIEWS", '["no_such_view"]', "there is no view no_such_view"),
        ("PARTITIONS", "4", ""),
    ],
)
def test_a_list_or_a_mapping(complaint: Started, name: str, value: str, says: str) -> None:
    line = complaint("projections", **{name: value})
    assert line.startswith(f"orderstream: ORDERSTREAM_{name}: ")
    assert says in line


def test_several_at_once_are_reported_in_one_line(complaint: Started) -> None:
    line = complaint("commands", GRACE="-1", SNAPSHOT_EVERY="0")
    assert "ORDERSTREAM_GRACE: " in line
    assert "ORDERSTREAM_SNAPSHOT_EVERY: " in line


@pytest.mark.parametrize("role", SERVING)
def test_a_former_name_and_the_present_one_with_different_values(complaint: Started, role: str) -> None:
    line = complaint(role, MOST_CONCURRENT_CALLS="10", MAX_CONCURRENT_CALLS="20")
    assert "ORDERSTREAM_MOST_CONCURRENT_CALLS is the former name of ORDERSTREAM_MAX_CONCURRENT_CALLS" in line


def test_a_wrong_value_under_a_former_name(complaint: Started) -> None:
    line = complaint("queries", MOST_WATCHES="many")
    assert line.startswith("orderstream: ORDERSTREAM_MOST_WATCHES: ")
    assert "not 'many'" in line


@pytest.mark.parametrize("role", SERVING)
def test_a_port_of_the_metrics_that_is_taken(
    complaint: Started, role: str, eventstore_uri: str, mongo_uri: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = complaint(role, METRICS_PORT=port, EVENTSTORE_URI=eventstore_uri, MONGO_URI=mongo_uri)
    assert f"ORDERSTREAM_METRICS_PORT: cannot serve on port {port}" in line


@pytest.mark.parametrize("role", SERVING)
def test_an_open_port_that_is_not_on_loopback(complaint: Started, role: str) -> None:
    line = complaint(role, HOST="0.0.0.0")
    assert line.startswith("orderstream: ORDERSTREAM_HOST: 0.0.0.0 is reached from other machines")
    assert "ORDERSTREAM_INSECURE=true" in line


@pytest.mark.parametrize("role", ROLES)
def test_a_store_on_another_machine_without_tls(complaint: Started, role: str) -> None:
    line = complaint(role, code=5, EVENTSTORE_URI=f"esdb://user:{SECRET}@store.example:2113?tls=false")
    assert "ORDERSTREAM_INSECURE_STORES=true" in line
    assert line.endswith("[STORE_TLS_FAILED]")
