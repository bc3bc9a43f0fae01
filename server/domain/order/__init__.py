"""An order: from the first line to the last delivery."""

from server.domain.decider import Decider
from server.domain.order.commands import OrderCommand
from server.domain.order.decide import decide
from server.domain.order.events import OrderEvent
from server.domain.order.evolve import evolve
from server.domain.order.state import NoOrder, Order

ORDER: Decider[Order, OrderCommand, OrderEvent] = Decider(
    category="order", initial=NoOrder(), decide=decide, evolve=evolve
)
