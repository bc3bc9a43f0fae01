"""A product: its name, its price, and whether it is on sale."""

from server.domain.decider import Decider
from server.domain.product.commands import ProductCommand
from server.domain.product.decide import decide
from server.domain.product.events import ProductEvent
from server.domain.product.state import NoProduct, ProductState, evolve

PRODUCT: Decider[ProductState, ProductCommand, ProductEvent] = Decider(
    category="product", initial=NoProduct(), decide=decide, evolve=evolve
)
