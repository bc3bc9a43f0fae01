"""Every view there is."""

from typing import Any

from projections.view import View, by_name
from projections.views.customer_orders import customer_orders
from projections.views.order_detail import order_detail
from projections.views.order_list import order_list
from projections.views.order_timeline import order_timeline
from projections.views.process_status import process_status
from projections.views.product_list import product_list
from projections.views.sales_daily import sales_daily
from projections.views.stock_levels import stock_levels
from projections.views.user_detail import user_detail

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
