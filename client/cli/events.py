"""`orderstream events tail`: the log itself, as any subscriber sees it."""

import json
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer
from esdbclient import EventStoreDBClient, RecordedEvent
from esdbclient.exceptions import EventStoreDBClientException

from client.cli.connect import AsJson
from client.cli.output import UNAVAILABLE, complain

events = typer.Typer(no_args_is_help=True, help="The log: what has happened, as it happens.")

OURS = "(order|product|stock|user|useremail)-.*"


@events.command("tail")
def tail(
    stream: Annotated[str, typer.Option(help="Only this stream, like order-<uuid>.")] = "",
    category: Annotated[str, typer.Option(help="Only streams of this category: order, product, stock or user.")] = "",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="History first; without it only what is new.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0: Ctrl-C does.")] = 0,
    uri: Annotated[
        str, typer.Option(envvar="ORDERSTREAM_EVENTSTORE_URI", help="Where the log is.")
    ] = "esdb://127.0.0.1:2113?Tls=false",
    as_json: AsJson = False,
) -> None:
    """Print events as they are written; with --json one object a line."""
    try:
        with EventStoreDBClient(uri) as client, suppress(KeyboardInterrupt):
            if stream:
                found: Any = client.subscribe_to_stream(stream, from_end=not from_start)
            else:
                pattern = f"{category}-.*" if category else OURS
                found = client.subscribe_to_all(
                    from_end=not from_start, filter_include=[pattern], filter_by_stream_name=True
                )
            for number, event in enumerate(found, start=1):
                _print(event, as_json)
                if number == limit:
                    found.stop()
                    return
    except EventStoreDBClientException as error:
        complain(f"the event store at {uri} does not answer: {type(error).__name__}", UNAVAILABLE)


def _print(event: RecordedEvent, as_json: bool) -> None:
    data = event.data.decode(errors="replace")
    if as_json:
        told = {
            "position": event.commit_position,
            "stream": event.stream_name,
            "revision": event.stream_position,
            "type": event.type,
            "id": str(event.id),
            "recorded_at": event.recorded_at.isoformat() if event.recorded_at else None,
            "data": data,
            "metadata": event.metadata.decode(errors="replace"),
        }
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        sys.stdout.write(f"{event.commit_position} {event.stream_position}@{event.stream_name} {event.type} {data}\n")
    sys.stdout.flush()
