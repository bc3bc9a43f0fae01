"""The port of a payment provider. Each call has a key of ours: the same key again is the same payment, and gets the
same answer, for ever.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from core.domain.money import Money


@dataclass(frozen=True, slots=True)
class Approved:
    """The call was carried out. `amount` is the amount of the first request under this key.

    `drawn_from`, of a capture: the key of the authorisation from which it was drawn, if an earlier call named another
    one; "" otherwise.
    """

    amount: Money
    drawn_from: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """The call was not carried out and never will be, under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lapsed:
    """It was authorised, with this amount, but what is not captured is not held any more: it was withdrawn.

    A capture with this answer was not carried out, and may be requested under its key from another authorisation.
    """

    amount: Money
    reason: str


class ProviderUnavailable(Exception):  # it names what happened
    """No answer. The call may have been carried out or not, or may be later: repeat it under the same key."""


Answered = Callable[[str, Approved | Declined | Lapsed], Coroutine[Any, Any, None]]


class PaymentProvider(Protocol):
    """Every method but `listen` may raise `ProviderUnavailable`."""

    def listen(self, answered: Answered) -> None:
        """Receive, by key, late or repeated answers to authorisations, and reports of lapses."""

    async def authorise(self, key: str, amount: Money) -> Approved | Declined | Lapsed:
        """Hold an amount."""

    async def void(self, key: str) -> None:
        """Release what is held under the key of an authorisation; what was captured of it stays captured.

        Afterwards nothing is held under it any more, and nothing ever will be: an authorisation that is still under way
        is declined.
        """

    async def capture(self, key: str, authorisation: str, amount: Money) -> Approved | Declined | Lapsed:
        """Draw a part of the amount held under the key of an authorisation."""

    async def refund(self, key: str, amount: Money) -> Approved | Declined:
        """Pay back a part of what was drawn. The key says for which order."""
