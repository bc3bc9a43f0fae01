"""The process (saga) of a placed order: stock, payment, confirmation, and the compensation of each if needed."""

from core.domain.checkout.commands import CheckoutCommand
from core.domain.checkout.decide import decide
from core.domain.checkout.events import CheckoutEvent
from core.domain.checkout.state import Checkout, NotStarted, evolve
from core.domain.decider import Decider

CHECKOUT: Decider[Checkout, CheckoutCommand, CheckoutEvent] = Decider(
    category="checkout", initial=NotStarted(), decide=decide, evolve=evolve
)
