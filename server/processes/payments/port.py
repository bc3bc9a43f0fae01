"""What a process asks of a payment provider. Each call carries a key of ours: the same key again is the same payment,
and gets the same answer, for ever.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from server.domain.money import Money


@dataclass(frozen=True, slots=True)
class Approved:
    """It is done. `amount` is what was first asked for under this key."""

    amount: Money


@dataclass(frozen=True, slots=True)
class Declined:
    """It is not done and will not be, under this key."""

    reason: str


class ProviderUnavailable(Exception):  # it names what happened
    """No answer. It may have been done or not, or be done later: ask again under the same key."""


Told = Callable[[str, Approved | Declined], Coroutine[Any, Any, None]]


class PaymentProvider(Protocol):
    """Every method but `listen` may raise `ProviderUnavailable`."""

    def listen(self, told: Told) -> None:
        """Be told, by key, of authorisations whose answer comes late, or again."""

    async def authorise(self, key: str, amount: Money) -> Approved | Declined:
        """Hold an amount ready."""

    async def void(self, key: str) -> None:
        """Let go of what is held under the key of an authorisation.

        Afterwards nothing is held under it, and nothing will be: an authorisation that is still under way is declined.
        """

    async def capture(self, key: str, authorisation: str, amount: Money) -> Approved | Declined:
        """Draw a part of what is held under the key of an authorisation."""

    async def refund(self, key: str, amount: Money) -> Approved | Declined:
        """Give back a part of what was drawn. The key says of which order."""
