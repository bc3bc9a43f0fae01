"""No order of calls, no crash and no clock gives one e-mail address to two users, or keeps an address that no user has.

Requests to services that share an event store in memory make one call to it at a time. Schedules give every order with
few changes between requests, and many by chance with more; each request dies at each of its calls in some of them. The
clock of the store jumps by ten minutes at each look, so every claim that is not used yet seems abandoned to the others.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from esdbclient import NewEvent

from core.domain.email import EMAIL
from core.domain.email.events import EmailClaimed
from core.domain.email.normal_form import email_hash
from core.domain.rejection import CommandRejected
from core.domain.user import USER
from core.domain.user.events import UserRegistered
from core.domain.user.state import NoUser, User
from core.eventstore import codec
from protos.users.v1 import commands_pb2 as pb
from tests.support.interleaving import Request, Shop, Turn, all_schedules, run, some_schedules
from tests.support.orders import NOON

ANN, BOB, COY = (f"0198c0de-0000-7000-8000-0000000000{suffix}" for suffix in ("a1", "b2", "c3"))
WANTED, OTHER, SPELT = "Ann@example.org", "other@example.org", "ann@EXAMPLE.org."


def register(user_id: str, service: int, email: str = WANTED, n: int = 1) -> Request:
    message = pb.RegisterUserRequest(request_id=_id(user_id, n), user_id=user_id, name="Ann", email=email)
    return Request(service, "/users.v1.UserCommandService/RegisterUser", message)


def change(user_id: str, email: str, service: int, n: int = 2) -> Request:
    message = pb.ChangeEmailRequest(request_id=_id(user_id, n), user_id=user_id, email=email)
    return Request(service, "/users.v1.UserCommandService/ChangeEmail", message)


def rename(user_id: str, service: int, n: int = 9) -> Request:
    message = pb.ChangeNameRequest(request_id=_id(user_id, n), user_id=user_id, name="Anne")
    return Request(service, "/users.v1.UserCommandService/ChangeName", message)


def _id(user_id: str, n: int) -> str:
    return f"{user_id[:-4]}{n:02x}{user_id[-2:]}"


@dataclass(frozen=True)
class Story:
    """What was done before, one after the other; which services were restarted then; what happens at the same time."""

    meanwhile: Sequence[Request]
    before: Sequence[Request] = field(default=())
    restarted: Sequence[int] = field(default=())


STORIES = {
    "two register": Story([register(ANN, 0), register(BOB, 1, SPELT)]),
    "two register in one service": Story([register(ANN, 0), register(BOB, 0)]),
    "one registers and one changes to it": Story(
        [register(ANN, 0), change(BOB, WANTED, 1)], before=[register(BOB, 1, OTHER)]
    ),
    "its user leaves it and another registers": Story(
        [change(ANN, OTHER, 0), register(BOB, 1)], before=[register(ANN, 0)]
    ),
    "two users exchange their addresses": Story(
        [change(ANN, OTHER, 0), change(BOB, WANTED, 1)], before=[register(ANN, 0), register(BOB, 1, OTHER)]
    ),
    "its user returns to it, and another registers": Story(
        [change(ANN, WANTED, 0, n=3), register(BOB, 1)], before=[register(ANN, 0), change(ANN, OTHER, 1)]
    ),
    "a request and its repeat through another service": Story(
        [register(ANN, 0), register(ANN, 1), register(BOB, 1)],
    ),
    "a refused registration and a change of one user to it": Story(
        [register(ANN, 0, n=4), change(ANN, WANTED, 1), register(BOB, 2)],
        before=[register(ANN, 1, OTHER)],
        restarted=[0],
    ),
    "a late repeat of a change that was undone since": Story(
        [change(ANN, OTHER, 0), register(BOB, 2), rename(ANN, 1)],
        # service 0 remembers the user as it was before the first change, which service 1 made
        before=[register(ANN, 0), change(ANN, OTHER, 1), change(ANN, WANTED, 1, n=3)],
    ),
    "a repeat through a service that knows the user's stream, but not the claim's": Story(
        [register(ANN, 2), register(COY, 0)],
        before=[
            replace(register(ANN, 0), dies_after=2),  # it has claimed the address
            register(BOB, 1),
            replace(rename(ANN, 2), is_refused=True),
        ],
    ),
    "three register": Story([register(ANN, 0), register(BOB, 1), register(COY, 2)]),
    "three users at two addresses": Story(
        [change(ANN, OTHER, 0), change(BOB, WANTED, 1), change(COY, OTHER, 2)],
        before=[register(ANN, 0), register(BOB, 1, "bob@example.org"), register(COY, 2, "coy@example.org")],
    ),
}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two attempts nothing waits: the schedule says who is next."""
    monkeypatch.setattr(random, "uniform", lambda *_: 0.0)


class Log:
    """Who has which address, by the log alone."""

    def __init__(self, shop: Shop) -> None:
        self._log, self._read = shop.store.recorded, 0
        self._users: dict[str, Any] = {}

    def holders(self) -> Counter[str]:
        for event in self._log[self._read :]:
            if event.stream_name.startswith("user-"):
                state = self._users.get(event.stream_name, NoUser())
                data: Any = codec.decode(event.type, event.data)
                self._users[event.stream_name] = USER.evolve(state, data)
        self._read = len(self._log)
        users = (user for user in self._users.values() if isinstance(user, User) and not user.must_change_email)
        return Counter(email_hash(user.email) for user in users)

    def check(self) -> None:
        assert max(self.holders().values(), default=1) == 1, [event.stream_name for event in self._log]


def report(story: Story, schedule: Sequence[Turn]) -> None:
    shop = Shop(services=4)
    for request in story.before:
        assert isinstance(shop.call(request), Exception) == request.is_refused
    for service in story.restarted:
        shop.restart(service)
    log = Log(shop)
    log.check()
    run([shop.start(request) for request in story.meanwhile], schedule, log.check)
    _nothing_is_lost(shop, log)


def _nothing_is_lost(shop: Shop, log: Log) -> None:
    """Another user gets each address that no user has, at the latest when the claims are abandoned; and no other."""
    had = log.holders()
    for n, email in enumerate((WANTED, OTHER)):
        outcome = shop.call(register(f"0198c0de-0000-7000-8000-00000000000{n}", 3, email))
        assert isinstance(outcome, CommandRejected) == (email_hash(email) in had), outcome
        log.check()


def each(story: Story, schedules: Iterable[Sequence[Turn]]) -> None:
    for schedule in schedules:
        try:
            report(story, schedule)
        except AssertionError as error:
            raise AssertionError(f"by the schedule {schedule}: {error}") from error


@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
def test_an_address_has_one_user_in_every_order_of_three_turns_and_wherever_a_request_dies(story: Story) -> None:
    each(story, all_schedules(len(story.meanwhile), turns=3, steps=9 if len(story.meanwhile) == 2 else 3))


@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
def test_an_address_has_one_user_in_many_orders_of_many_turns(story: Story) -> None:
    each(story, some_schedules(len(story.meanwhile), number=60, seed=1))


@pytest.mark.long
@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
def test_an_address_has_one_user_in_every_order_of_four_turns(story: Story) -> None:
    each(story, all_schedules(len(story.meanwhile), turns=4, steps=9 if len(story.meanwhile) == 2 else 4))


@pytest.mark.long
@pytest.mark.parametrize("story", STORIES.values(), ids=list(STORIES))
def test_an_address_has_one_user_in_very_many_orders_of_many_turns(story: Story) -> None:
    each(story, some_schedules(len(story.meanwhile), number=3_000, seed=2))


def test_the_steps_of_a_registration_are_its_claim_and_its_user() -> None:
    """Without a race it costs two appends, one after the other."""
    shop = Shop(services=1)
    running = shop.start(register(ANN, 0))
    while not running.is_done:
        running.step()
    written = [event.stream_name for event in shop.store.recorded[1:]]
    assert written == [EMAIL.stream(email_hash(WANTED)), USER.stream(ANN)]
    assert running.steps == len(written) + 1


def resolve(keep: str, other: str, n: int = 20) -> Request:
    message = pb.ResolveEmailRequest(
        request_id=_id(keep, n),
        email_hash=email_hash(WANTED),
        keep_user_id=keep,
        other_user_ids=[other],
        reason="proof",
    )
    return Request(0, "/users.v1.UserCommandService/ResolveEmail", message)


def shared_by_ann_and_bob() -> Shop:
    """As former releases left it: Bob's claim ended Ann's."""
    shop, key = Shop(services=4), email_hash(WANTED)
    for stream, revision, event in (
        (EMAIL.stream(key), -1, EmailClaimed(email_hash=key, user_id=ANN, at=NOON)),
        (USER.stream(ANN), -1, UserRegistered(user_id=ANN, email=WANTED, name="Ann", at=NOON)),
        (EMAIL.stream(key), 0, EmailClaimed(email_hash=key, user_id=BOB, at=NOON)),
        (USER.stream(BOB), -1, UserRegistered(user_id=BOB, email=WANTED, name="Bob", at=NOON)),
    ):
        event_type, data = codec.encode(event)
        shop.write(stream, revision, NewEvent(type=event_type, data=data))
    return shop


@pytest.mark.parametrize("dies_after", range(12))
def test_settling_an_address_of_two_users_is_finished_by_a_repeat_wherever_it_died(dies_after: int) -> None:
    shop = shared_by_ann_and_bob()
    shop.call(replace(resolve(ANN, BOB), dies_after=dies_after))
    shop.restart(0)
    assert not isinstance(shop.call(resolve(ANN, BOB)), Exception)
    assert Log(shop).holders() == {email_hash(WANTED): 1}
    assert [event.type for event in shop.store.recorded if event.stream_name == USER.stream(BOB)] == [
        "UserRegistered",
        "EmailChangeRequired",
    ]


MEANWHILE = {
    "a third registers with it": register(COY, 1),
    "the other changes to another spelling": change(BOB, SPELT, 1),
    "the one who keeps it leaves it": change(ANN, OTHER, 1),
    "the other leaves it": change(BOB, OTHER, 1),
}


@pytest.mark.parametrize("request_", MEANWHILE.values(), ids=list(MEANWHILE))
def test_while_an_address_is_settled_no_other_user_gets_it(request_: Request) -> None:
    """In every order of three turns. Who has it afterwards has it alone, once the command was repeated."""
    for schedule in all_schedules(2, turns=3, steps=12):
        shop = shared_by_ann_and_bob()
        log = Log(shop)
        run([shop.start(resolve(ANN, BOB)), shop.start(request_)], schedule, lambda: None)
        shop.restart(0)
        shop.call(resolve(ANN, BOB))
        assert log.holders()[email_hash(WANTED)] <= 1, schedule
        log.check()
