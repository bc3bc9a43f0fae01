"""What a process asks of a payment provider. Each call carries a key of ours: the same key again is the same payment,
and gets the same answer, for ever.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from core.domain.money import Money


@dataclass(frozen=True, slots=True)
class Approved:
    """It is done. `amount` is what was first asked for under this key.

    `drawn_from`, of a capture: the key of the authorisation it was drawn from, if an earlier call named another than
    this one; "" otherwise.
    """

    amount: Money
    drawn_from: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """It is not done and will not be, under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lapsed:
    """It was authorised, with this amount, and what is not captured of it is not held any more: it was withdrawn.

    A capture that is answered so was not done, and may be asked for under its key from another authorisation.
    """

    amount: Money
    reason: str


class ProviderUnavailable(Exception):  # it names what happened
    """No answer. It may have been done or not, or be done later: ask again under the same key."""


Answered = Callable[[str, Approved | Declined | Lapsed], Coroutine[Any, Any, None]]


class PaymentProvider(Protocol):
    """Every method but `listen` may raise `ProviderUnavailable`."""

    def listen(self, answered: Answered) -> None:
        """Receive, by key, answers to authorisations that come late, or again, and reports of lapses."""

    async def authorise(self, key: str, amount: Money) -> Approved | Declined | Lapsed:
        """Hold an amount ready."""

    async def void(self, key: str) -> None:
        """Let go of what is held under the key of an authorisation; what was captured of it stays captured.

        Afterwards nothing more is held under it, and nothing will be: an authorisation that is still under way is
        declined.
        """

    async def capture(self, key: str, authorisation: str, amount: Money) -> Approved | Declined | Lapsed:
        """Draw a part of what is held under the key of an authorisation."""

    async def refund(self, key: str, amount: Money) -> Approved | Declined:
        """Give back a part of what was drawn. The key says of which order."""
