"""Everything about one order, by order id. What each event does is shared with the queries about the past."""

from core.readmodel.documents import OrderDetail
from core.readmodel.order_detail import REDUCERS
from projections.view import View

order_detail: View[OrderDetail] = View(
    "order_detail", key=lambda e: e.data.order_id, categories=("order",), own_streams=True
)

for event, reduce in REDUCERS.items():
    order_detail.on(event)(reduce)
