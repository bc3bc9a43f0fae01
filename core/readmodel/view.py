"""The declaration of a view: its streams, its key, its indexes, and what each event does to a document.

Handlers are pure: `(body or None, recorded event) → body or None`. A body is a plain dict, as MongoDB has it without
`_id` and `position`; None means that there is no document. A handler returns a new body and never changes the old one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from core.eventstore.recorded import Recorded, StreamDeleted
from core.eventstore.registry import BY_EVENT, DomainEvent

B = TypeVar("B")
E = TypeVar("E", bound=DomainEvent)

Index = tuple[tuple[str, int], ...]  # fields, each with 1 for ascending or -1 for descending
Key = Callable[[Recorded[Any]], str | None]
Reduce = Callable[[Any, Recorded[Any]], Any]


@dataclass(frozen=True, slots=True)
class Handler:
    """`key` names the document that the event changes; None: none."""

    key: Key
    reduce: Reduce


@dataclass(frozen=True)
class View(Generic[B]):
    """`categories` are the stream prefixes it follows, without the dash.

    `answers` are the RPCs that read it, and `indexes` is what they need. With `own_streams` the document of a key is
    made of the streams `<category>-<key>` and no others, so that it can be folded again without reading all of the log.
    With `per_event` each event makes a document of its own, which no other event changes.
    """

    name: str
    key: Key
    categories: tuple[str, ...]
    answers: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    handlers: dict[type, Handler] = field(default_factory=dict)
    own_streams: bool = False
    per_event: bool = False

    def on(
        self, event: type[E], *, key: Callable[[Recorded[E]], str | None] | None = None
    ) -> Callable[[Callable[[B | None, Recorded[E]], B | None]], Callable[[B | None, Recorded[E]], B | None]]:
        """Register what an event does; twice for one event, or for a stream not followed, is a mistake."""
        if event in self.handlers:
            raise ValueError(f"{self.name} handles {event.__name__} twice")
        if BY_EVENT[event].category not in self.categories:
            raise ValueError(f"{self.name} does not follow the streams of {event.__name__}")

        def register(
            reduce: Callable[[B | None, Recorded[E]], B | None],
        ) -> Callable[[B | None, Recorded[E]], B | None]:
            self.handlers[event] = Handler(key or self.key, reduce)
            return reduce

        return register

    def handler(self, event: Recorded[DomainEvent | StreamDeleted]) -> tuple[str, Reduce] | None:
        """The key and what to do, or None if the event changes nothing here.

        The first of its own streams removes a document. Data from a stream in a document of many streams stays.
        """
        if isinstance(event.data, StreamDeleted):
            category, _, name = event.stream.partition("-")
            return (name, _gone) if self.own_streams and category == self.categories[0] else None
        handler = self.handlers.get(type(event.data))
        key = None if handler is None else handler.key(event)
        return None if handler is None or key is None else (key, handler.reduce)

    def fold(self, body: B | None, events: Iterable[Recorded[Any]]) -> B | None:
        """The body after these events, which all change the same document. Raises what a handler raises."""
        for event in events:
            handler = self.handler(event)
            body = body if handler is None else handler[1](body, event)
        return body

    @property
    def is_of_one_stream(self) -> bool:
        """Whether each document is made of exactly one stream."""
        return self.own_streams and len(self.categories) == 1

    def stream_of(self, key: str) -> str:
        """The stream that the document of a key is made of, if it is made of one."""
        return f"{self.categories[0]}-{key}"

    def follows(self, stream: str) -> bool:
        """Whether the stream is of one of its categories."""
        category, dash, _ = stream.partition("-")
        return bool(dash) and category in self.categories

    def stream_filter(self) -> str:
        """A regular expression for stream names, as esdbclient takes it (it puts ^ and $ around)."""
        return stream_filter(self.categories)


def _gone(_body: Any, _event: Recorded[Any]) -> None:
    return None


def stream_filter(categories: tuple[str, ...]) -> str:
    return f"({'|'.join(categories)})-.*"


def by_name(views: tuple[View[Any], ...]) -> Mapping[str, View[Any]]:
    return {view.name: view for view in views}
