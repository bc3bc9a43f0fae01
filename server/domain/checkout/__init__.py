"""The process that brings a placed order to its end: stock, money, confirmation, and all of it back if need be."""

from server.domain.checkout.commands import CheckoutCommand
from server.domain.checkout.decide import decide
from server.domain.checkout.events import CheckoutEvent
from server.domain.checkout.state import Checkout, NotStarted, evolve
from server.domain.decider import Decider

CHECKOUT: Decider[Checkout, CheckoutCommand, CheckoutEvent] = Decider(
    category="checkout", initial=NotStarted(), decide=decide, evolve=evolve
)
