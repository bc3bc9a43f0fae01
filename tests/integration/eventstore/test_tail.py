"""`events tail` shows what was written, and of a link what it leads to."""

import json
from uuid import uuid4

import pytest
from esdbclient import NewEvent, StreamState

from core.eventstore.address import parsed
from core.eventstore.connection import Client
from server.tail import What, tail


async def test_a_stream_of_links_is_shown_by_the_events_that_they_lead_to(
    client: Client, eventstore_uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target, links, gone = (f"{name}-{uuid4().hex}" for name in ("target", "links", "gone"))
    for stream, events in (
        (target, [NewEvent(type="First", data=b"{}"), NewEvent(type="Second", data=b'{"n":2}')]),
        (gone, [NewEvent(type="Gone", data=b"{}")]),
        (links, [NewEvent(type="$>", data=f"1@{target}".encode()), NewEvent(type="$>", data=f"0@{gone}".encode())]),
    ):
        await client.append_to_stream(stream, current_version=StreamState.NO_STREAM, events=events)
    await client.tombstone_stream(gone, current_version=StreamState.ANY)
    await tail(parsed(eventstore_uri), What(stream=links, from_start=True, limit=2))
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [(x["type"], x["stream"], x["revision"]) for x in shown] == [("Second", target, 1), ("$>", links, 1)]
    assert [(x["link"]["stream"], x["link"]["revision"]) for x in shown] == [(links, 0), (links, 1)]
    assert shown[0]["data"] == '{"n":2}'
