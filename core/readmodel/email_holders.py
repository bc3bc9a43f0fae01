"""The users of each e-mail address, by the log: folded from the streams of all users."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.domain.email.normal_form import email_hash
from core.domain.user.events import EmailChanged, EmailChangeRequired, UserRegistered
from core.eventstore import codec
from core.eventstore.client import RecordedEvent
from core.eventstore.upcasters import stored_names

USERS = "user-.*"  # the streams to read
_SETS, _ENDS = stored_names(UserRegistered, EmailChanged), stored_names(EmailChangeRequired)


@dataclass(frozen=True, slots=True)
class Holder:
    """`since`: when the user got the address."""

    user_id: str
    email_hash: str
    since: datetime


class EmailHolders:
    """Applies the events of users in the order of the log. `wanted` says, by its hash, whether to keep an address."""

    def __init__(self, wanted: Callable[[str], bool] = lambda _: True) -> None:
        self._wanted = wanted
        self._holders: dict[str, Holder] = {}
        self.events = 0

    def __len__(self) -> int:
        return len(self._holders)

    def take(self, event: RecordedEvent) -> None:
        """A user who has to change an address does not have it. An unreadable event changes nothing."""
        self.events += 1
        user_id = event.stream_name.partition("-")[2]
        if event.type in _ENDS:
            self._holders.pop(user_id, None)
        elif event.type in _SETS:
            with suppress(codec.CodecError):
                self._set(user_id, codec.decode(event.type, event.data))

    def _set(self, user_id: str, event: Any) -> None:
        key, before = email_hash(event.email), self._holders.pop(user_id, None)
        if before is not None and before.email_hash == key:
            self._holders[user_id] = before  # another spelling
        elif self._wanted(key):
            self._holders[user_id] = Holder(user_id, key, event.at)

    def of(self, key: str) -> Sequence[Holder]:
        """The holders of an address, the earliest first."""
        return sorted((one for one in self._holders.values() if one.email_hash == key), key=_seniority)

    def shared(self) -> Iterator[Sequence[Holder]]:
        """The holders of each address that several users have."""
        by_key: dict[str, list[Holder]] = {}
        for one in self._holders.values():
            by_key.setdefault(one.email_hash, []).append(one)
        return (sorted(found, key=_seniority) for found in by_key.values() if len(found) > 1)


def _seniority(one: Holder) -> tuple[datetime, str]:
    return one.since, one.user_id
