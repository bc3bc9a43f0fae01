"""The process that brings a placed order to its end: stock, money, confirmation, and all of it back if need be."""

from core.domain.checkout.commands import CheckoutCommand
from core.domain.checkout.decide import decide
from core.domain.checkout.events import CheckoutEvent
from core.domain.checkout.state import Checkout, NotStarted, evolve
from core.domain.decider import Decider

CHECKOUT: Decider[Checkout, CheckoutCommand, CheckoutEvent] = Decider(
    category="checkout", initial=NotStarted(), decide=decide, evolve=evolve
)
