"""Which RPCs answer from which view: what an operator ought to know before changing it."""

from collections.abc import Mapping

QUERIES: Mapping[str, tuple[str, ...]] = {
    "order_detail": ("orders.v1.OrderQueryService/GetOrder", "orders.v1.OrderQueryService/GetOrderHistory"),
    "order_list": ("orders.v1.OrderQueryService/ListOrders", "orders.v1.OrderQueryService/GetCustomerOrders"),
    "order_timeline": ("orders.v1.OrderQueryService/GetOrderTimeline",),
    "customer_orders": ("orders.v1.OrderQueryService/GetCustomerOrders",),
    "sales_daily": ("orders.v1.OrderQueryService/GetSalesDaily",),
    "product_list": (
        "products.v1.ProductQueryService/GetProduct",
        "products.v1.ProductQueryService/ListProducts",
    ),
    "stock_levels": ("products.v1.StockQueryService/GetStock", "products.v1.StockQueryService/ListStock"),
    "user_detail": ("users.v1.UserQueryService/GetUser",),
}
