"""All views."""

from typing import Any

from core.readmodel.view import View, by_name
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.order_list import order_list
from core.readmodel.views.order_timeline import order_timeline
from core.readmodel.views.process_status import process_status
from core.readmodel.views.product_list import product_list
from core.readmodel.views.sales_daily import sales_daily
from core.readmodel.views.stock_levels import stock_levels
from core.readmodel.views.user_detail import user_detail

VIEWS: tuple[View[Any], ...] = (
    order_detail,
    order_list,
    order_timeline,
    customer_orders,
    product_list,
    stock_levels,
    user_detail,
    sales_daily,
    process_status,
)
VIEWS_BY_NAME = by_name(VIEWS)
