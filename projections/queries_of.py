"""Which RPCs answer from which view: what an operator ought to know before changing it."""

from collections.abc import Mapping

ORDERS, PRODUCTS, STOCK = (
    "orders.v1.OrderQueryService",
    "products.v1.ProductQueryService",
    "products.v1.StockQueryService",
)
USERS, PROCESSES = "users.v1.UserQueryService", "processes.v1.ProcessQueryService"

QUERIES: Mapping[str, tuple[str, ...]] = {
    "order_detail": (f"{ORDERS}/GetOrder", f"{ORDERS}/GetOrderHistory"),
    "order_list": (f"{ORDERS}/ListOrders", f"{ORDERS}/GetCustomerOrders", f"{ORDERS}/WatchOrders"),
    "order_timeline": (f"{ORDERS}/GetOrderTimeline",),
    "customer_orders": (f"{ORDERS}/GetCustomerOrders",),
    "sales_daily": (f"{ORDERS}/GetSalesDaily",),
    "product_list": (f"{PRODUCTS}/GetProduct", f"{PRODUCTS}/ListProducts"),
    "stock_levels": (f"{STOCK}/GetStock", f"{STOCK}/ListStock"),
    "user_detail": (f"{USERS}/GetUser",),
    "process_status": (f"{PROCESSES}/GetProcess", f"{PROCESSES}/ListProcesses"),
}
