"""The stock of one product: what is on hand, and what of it is promised to whom."""

from core.domain.decider import Decider
from core.domain.stock.commands import StockCommand
from core.domain.stock.decide import decide
from core.domain.stock.events import StockEvent
from core.domain.stock.state import Stock, evolve

STOCK: Decider[Stock, StockCommand, StockEvent] = Decider(
    category="stock", initial=Stock(), decide=decide, evolve=evolve
)
