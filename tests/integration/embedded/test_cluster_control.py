"""A cluster as a process of its own, and its acts over HTTP."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState

from tests.support.processes import Running, running


@pytest.fixture(scope="module")
def members() -> Iterator[Running]:
    with running("embedded", "cluster", "--port", "0", "--memory", "--pace", "0.05") as cluster:
        yield cluster


def asked(cluster: Running, method: str, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(cluster.ready["control"], timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
        return response.status, json.loads(body) if body else None
    finally:
        connection.close()


def act(cluster: Running, path: str) -> Any:
    status, body = asked(cluster, "POST", path)
    assert status == 200, body
    return body


def states(body: Any) -> list[str]:
    return [member["state"] for member in body["members"]]


def test_acts_are_taken_over_http(members: Running) -> None:
    status, first = asked(members, "GET", "/")
    assert (status, first["leader"], states(first)) == (200, 0, ["Leader", "Follower", "Follower"])
    assert [member["address"] for member in first["members"]] == members.ready["addresses"]
    with EventStoreDBClient(members.ready["uri"]) as client:
        client.append_to_stream("s-1", current_version=StreamState.NO_STREAM, events=[NewEvent("E", b"{}")])

    assert states(act(members, "/members/0/kill"))[0] == ""
    after = act(members, "/settled")
    assert (after["leader"], states(after)) == (1, ["", "Leader", "Follower"])
    status, refused = asked(members, "POST", "/members/0/kill")
    assert (status, refused["error"]) == (409, "member 0 has ended already")
    with EventStoreDBClient(f"esdb://{members.ready['addresses'][1]}?Tls=false") as client:
        assert [event.type for event in client.get_stream("s-1")] == ["E"]

    act(members, "/members/0/start")
    assert states(act(members, "/settled")) == ["Follower", "Leader", "Follower"]
    act(members, "/members/2/hang")
    assert states(act(members, "/members/2/resume")) == ["Follower", "Leader", "Follower"]
    act(members, "/resign")
    assert act(members, "/settled")["leader"] == 2
    assert states(act(members, "/two-leaders")) == ["Leader", "Follower", "Leader"]
    act(members, "/settled")
    act(members, "/restore-quorum")
    act(members, "/settled")
    act(members, "/lose-quorum")
    assert act(members, "/settled")["leader"] is None
    act(members, "/restore-quorum")
    assert act(members, "/settled")["leader"] is not None


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/resign", 405), ("POST", "/", 405), ("POST", "/members/3/kill", 404)]
)
def test_what_is_no_act_is_refused(members: Running, method: str, path: str, status: int) -> None:
    assert asked(members, method, path) == (status, None)


def test_it_stops_at_once_when_it_is_stopped() -> None:
    with running("embedded", "cluster", "--port", "0", "--memory") as cluster:
        act(cluster, "/resign")
        assert cluster.stop() == 0
        assert cluster.errors() == ""
