"""The rules of a user's addresses, one sentence each."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as each
from hypothesis import settings
from hypothesis import strategies as st

from core.domain.address import Address
from core.domain.rejection import CommandRejected, Reason
from core.domain.user import USER
from core.domain.user.addresses import MAX_ADDRESSES
from core.domain.user.commands import AddAddress, ChangeAddress, RemoveAddress, SetDefaultAddress, UserCommand
from core.domain.user.events import AddressAdded, AddressChanged, AddressRemoved, DefaultAddressSet, UserRegistered
from core.domain.user.state import User
from tests.support import deciding
from tests.support.orders import ANN, HOME, NOON, WORK

REGISTERED = UserRegistered(user_id=ANN, email="ann@example.org", name="Ann", at=NOON)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(USER, REGISTERED, *history)


def add(address_id: str = "home", address: Address = HOME, *, default: bool = False) -> AddAddress:
    return AddAddress(user_id=ANN, address_id=address_id, address=address, default=default, at=NOON)


def change(address_id: str = "home", address: Address = WORK) -> ChangeAddress:
    return ChangeAddress(user_id=ANN, address_id=address_id, address=address, at=NOON)


def remove(address_id: str = "home") -> RemoveAddress:
    return RemoveAddress(user_id=ANN, address_id=address_id, at=NOON)


def make_default(address_id: str = "home") -> SetDefaultAddress:
    return SetDefaultAddress(user_id=ANN, address_id=address_id, at=NOON)


def added(address_id: str = "home", address: Address = HOME) -> AddressAdded:
    return AddressAdded(user_id=ANN, address_id=address_id, address=address, at=NOON)


def removed(address_id: str = "home") -> AddressRemoved:
    return AddressRemoved(user_id=ANN, address_id=address_id, at=NOON)


def default(address_id: str = "home") -> DefaultAddressSet:
    return DefaultAddressSet(user_id=ANN, address_id=address_id, at=NOON)


AT_HOME = (added(), default())


def test_the_first_address_becomes_the_default() -> None:
    given().when(add()).then(*AT_HOME)
    given(*AT_HOME).when(add("work", WORK)).then(added("work", WORK))


def test_another_address_becomes_the_default_when_asked_for() -> None:
    given(*AT_HOME).when(add("work", WORK, default=True)).then(added("work", WORK), default("work"))
    given(*AT_HOME, added("work", WORK)).when(make_default("work")).then(default("work"))
    given(*AT_HOME).when(make_default()).nothing()


def test_an_address_is_added_once_under_one_id() -> None:
    given(*AT_HOME).when(add()).nothing()
    given(*AT_HOME).when(add(address=WORK)).rejected(Reason.ADDRESS_EXISTS, user_id=ANN, address_id="home")


def test_an_address_changes_once() -> None:
    changed = AddressChanged(user_id=ANN, address_id="home", address=WORK, at=NOON)
    given(*AT_HOME).when(change()).then(changed)
    given(*AT_HOME, changed).when(change()).nothing()


def test_when_the_default_is_removed_the_oldest_one_left_takes_its_place() -> None:
    given(*AT_HOME, added("work", WORK), added("inn")).when(remove()).then(removed(), default("work"))
    given(*AT_HOME).when(remove()).then(removed(), default(""))
    given(*AT_HOME, added("work", WORK)).when(remove("work")).then(removed("work"))
    given(*AT_HOME, removed(), default("")).when(remove()).nothing()


@pytest.mark.parametrize("command", [change("inn"), make_default("inn")])
def test_an_address_that_is_not_there_is_not_found(command: UserCommand) -> None:
    given(*AT_HOME).when(command).rejected(Reason.ADDRESS_NOT_FOUND, address_id="inn")


@pytest.mark.parametrize("command", [add(address=replace(HOME, city="")), change(address=replace(HOME, country="be"))])
def test_an_address_has_to_be_whole(command: UserCommand) -> None:
    history = () if isinstance(command, AddAddress) else AT_HOME
    given(*history).when(command).rejected(Reason.ADDRESS_INVALID, address="address")


def test_a_user_has_a_bounded_number_of_addresses() -> None:
    full = [added(str(n)) for n in range(MAX_ADDRESSES)]
    given(*full).when(add("another")).rejected(Reason.TOO_MANY_ADDRESSES, most=MAX_ADDRESSES)
    given(*full).when(add("0", default=True)).then(default("0"))


IDS = st.sampled_from(["home", "work", "inn"])
PLACES = st.sampled_from([HOME, WORK])
COMMANDS = st.one_of(
    st.builds(lambda a, b, c: add(a, b, default=c), IDS, PLACES, st.booleans()),
    st.builds(change, IDS, PLACES),
    st.builds(remove, IDS),
    st.builds(make_default, IDS),
)


@settings(deadline=None)
@each(st.lists(COMMANDS, max_size=30))
def test_whatever_is_asked_the_default_is_one_of_the_addresses_or_there_is_none(commands: list[Any]) -> None:
    state = USER.fold([REGISTERED])
    for command in commands:
        try:
            state = USER.fold(USER.decide(state, command), state)
        except CommandRejected:
            continue
        assert isinstance(state, User)
        assert state.default_address in state.addresses if state.addresses else state.default_address == ""
        assert USER.decide(state, command) == [], "doing it twice is nothing"
