"""The rules of a user's addresses."""

from collections.abc import Sequence

from core.domain.address import require_address
from core.domain.rejection import CommandRejected, Reason
from core.domain.user.commands import AddAddress, AddressCommand, ChangeAddress, RemoveAddress, SetDefaultAddress
from core.domain.user.events import AddressAdded, AddressChanged, AddressRemoved, DefaultAddressSet, UserEvent
from core.domain.user.state import User

MAX_ADDRESSES = 50


def decide_address(user: User, command: AddressCommand) -> Sequence[UserEvent]:
    if isinstance(command, AddAddress):
        return _add(user, command)
    if command.address_id not in user.addresses:
        # what is gone is gone: taking it away again is no contradiction
        if isinstance(command, RemoveAddress):
            return []
        raise CommandRejected(Reason.ADDRESS_NOT_FOUND, user_id=user.user_id, address_id=command.address_id)
    match command:
        case ChangeAddress():
            return _change(user, command)
        case SetDefaultAddress():
            return _default(user, command)
        case RemoveAddress():
            return _remove(user, command)


def _add(user: User, command: AddAddress) -> Sequence[UserEvent]:
    require_address(command.address, "address")
    before = user.addresses.get(command.address_id)
    if before is not None and before != command.address:
        raise CommandRejected(Reason.ADDRESS_EXISTS, user_id=user.user_id, address_id=command.address_id)
    if before is None and len(user.addresses) >= MAX_ADDRESSES:
        raise CommandRejected(Reason.TOO_MANY_ADDRESSES, user_id=user.user_id, most=MAX_ADDRESSES)
    events: list[UserEvent] = []
    if before is None:
        events.append(
            AddressAdded(user_id=user.user_id, address_id=command.address_id, address=command.address, at=command.at)
        )
    if user.default_address != command.address_id and (command.default or not user.addresses):
        events.append(DefaultAddressSet(user_id=user.user_id, address_id=command.address_id, at=command.at))
    return events


def _change(user: User, command: ChangeAddress) -> Sequence[UserEvent]:
    require_address(command.address, "address")
    if user.addresses[command.address_id] == command.address:
        return []
    return [AddressChanged(user_id=user.user_id, address_id=command.address_id, address=command.address, at=command.at)]


def _default(user: User, command: SetDefaultAddress) -> Sequence[UserEvent]:
    if user.default_address == command.address_id:
        return []
    return [DefaultAddressSet(user_id=user.user_id, address_id=command.address_id, at=command.at)]


def _remove(user: User, command: RemoveAddress) -> Sequence[UserEvent]:
    removed = AddressRemoved(user_id=user.user_id, address_id=command.address_id, at=command.at)
    if user.default_address != command.address_id:
        return [removed]
    oldest = next((key for key in user.addresses if key != command.address_id), "")
    return [removed, DefaultAddressSet(user_id=user.user_id, address_id=oldest, at=command.at)]
