"""The stock of one product: what is on hand, and what of it is promised to whom."""

from server.domain.decider import Decider
from server.domain.stock.commands import StockCommand
from server.domain.stock.decide import decide
from server.domain.stock.events import StockEvent
from server.domain.stock.state import Stock, evolve

STOCK: Decider[Stock, StockCommand, StockEvent] = Decider(
    category="stock", initial=Stock(), decide=decide, evolve=evolve
)
