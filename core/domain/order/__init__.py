"""An order: from the first line to the last delivery."""

from core.domain.decider import Decider
from core.domain.order.commands import OrderCommand
from core.domain.order.decide import decide
from core.domain.order.events import OrderEvent
from core.domain.order.evolve import evolve
from core.domain.order.state import NoOrder, Order

ORDER: Decider[Order, OrderCommand, OrderEvent] = Decider(
    category="order", initial=NoOrder(), decide=decide, evolve=evolve
)
