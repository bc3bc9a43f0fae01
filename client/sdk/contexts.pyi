# Made by `make proto`. Do not edit.
import collections.abc
import typing

import google.protobuf.timestamp_pb2
import protos.common.v1.types_pb2
import protos.operations.v1.exclusions_pb2
import protos.operations.v1.policy_pb2
import protos.operations.v1.projections_pb2
import protos.operations.v1.subscriptions_pb2
import protos.orders.v1.commands_pb2
import protos.orders.v1.queries_pb2
import protos.orders.v1.types_pb2
import protos.processes.v1.commands_pb2
import protos.processes.v1.queries_pb2
import protos.processes.v1.types_pb2
import protos.products.v1.commands_pb2
import protos.products.v1.queries_pb2
import protos.products.v1.types_pb2
import protos.users.v1.commands_pb2
import protos.users.v1.queries_pb2
from client.sdk.calls import Caller, Context

Fields = collections.abc.Mapping[str, typing.Any]

class Orders:
    def __init__(self, caller: Caller) -> None: ...
    async def CreateOrder(
        self,
        *,
        request_id: str = ...,
        order_id: str = ...,
        customer_id: str = ...,
        currency: str = ...,
        lines: collections.abc.Iterable[protos.orders.v1.commands_pb2.NewLine | Fields] = ...,
        shipping_address: protos.common.v1.types_pb2.Address | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.CreateOrderResponse: ...
    async def AddLine(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        line: protos.orders.v1.commands_pb2.NewLine | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.AddLineResponse: ...
    async def ChangeLineQuantity(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        line_id: str = ...,
        quantity: int = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ChangeLineQuantityResponse: ...
    async def RemoveLine(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        line_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RemoveLineResponse: ...
    async def RefreshPrices(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RefreshPricesResponse: ...
    async def ChangeShippingAddress(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipping_address: protos.common.v1.types_pb2.Address | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ChangeShippingAddressResponse: ...
    async def PlaceOrder(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.PlaceOrderResponse: ...
    async def ConfirmOrder(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ConfirmOrderResponse: ...
    async def HoldOrder(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.HoldOrderResponse: ...
    async def ReleaseHold(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ReleaseHoldResponse: ...
    async def CancelOrder(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.CancelOrderResponse: ...
    async def CreateShipment(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipment_id: str = ...,
        lines: collections.abc.Iterable[protos.orders.v1.types_pb2.LineQuantity | Fields] = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.CreateShipmentResponse: ...
    async def DispatchShipment(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipment_id: str = ...,
        carrier: str = ...,
        tracking_number: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.DispatchShipmentResponse: ...
    async def ConfirmDelivery(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipment_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ConfirmDeliveryResponse: ...
    async def RejectOrder(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RejectOrderResponse: ...
    async def ExpireOrder(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ExpireOrderResponse: ...
    async def CompleteOrder(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.CompleteOrderResponse: ...
    async def RecordAuthorisation(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        authorisation_id: str = ...,
        amount: protos.common.v1.types_pb2.Money | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RecordAuthorisationResponse: ...
    async def RecordPaymentFailure(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        authorisation_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RecordPaymentFailureResponse: ...
    async def VoidAuthorisation(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        authorisation_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.VoidAuthorisationResponse: ...
    async def RecordAuthorisationLapse(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        authorisation_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RecordAuthorisationLapseResponse: ...
    async def CapturePayment(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        capture_id: str = ...,
        authorisation_id: str = ...,
        amount: protos.common.v1.types_pb2.Money | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.CapturePaymentResponse: ...
    async def RefundPayment(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        refund_id: str = ...,
        amount: protos.common.v1.types_pb2.Money | Fields | None = ...,
        reason: str = ...,
        return_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RefundPaymentResponse: ...
    async def SettleRefund(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        refund_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.SettleRefundResponse: ...
    async def RecordRefundFailure(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        refund_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RecordRefundFailureResponse: ...
    async def SetShippingMethod(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        method: str = ...,
        price: protos.common.v1.types_pb2.Money | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.SetShippingMethodResponse: ...
    async def ApplyDiscount(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        discount_id: str = ...,
        name: str = ...,
        amount: protos.common.v1.types_pb2.Money | Fields | None = ...,
        basis_points: int | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ApplyDiscountResponse: ...
    async def RemoveDiscount(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        discount_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RemoveDiscountResponse: ...
    async def CancelLineQuantity(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        cancellation_id: str = ...,
        line_id: str = ...,
        quantity: int = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.CancelLineQuantityResponse: ...
    async def CancelShipment(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipment_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.CancelShipmentResponse: ...
    async def RecordShipmentLoss(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipment_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RecordShipmentLossResponse: ...
    async def RecordDeliveryRefusal(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipment_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RecordDeliveryRefusalResponse: ...
    async def ReceiveReturnedShipment(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        shipment_id: str = ...,
        lines: collections.abc.Iterable[protos.orders.v1.types_pb2.ReceivedQuantity | Fields] = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ReceiveReturnedShipmentResponse: ...
    async def RequestReturn(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        return_id: str = ...,
        lines: collections.abc.Iterable[protos.orders.v1.types_pb2.LineQuantity | Fields] = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RequestReturnResponse: ...
    async def ApproveReturn(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        return_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ApproveReturnResponse: ...
    async def RejectReturn(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        return_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.RejectReturnResponse: ...
    async def ReceiveReturn(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        return_id: str = ...,
        lines: collections.abc.Iterable[protos.orders.v1.types_pb2.ReceivedQuantity | Fields] = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.ReceiveReturnResponse: ...
    async def AddNote(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        note_id: str = ...,
        text: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.commands_pb2.AddNoteResponse: ...
    async def GetOrder(
        self,
        *,
        order_id: str = ...,
        consistency_token: str = ...,
        as_of: protos.orders.v1.queries_pb2.Moment | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.queries_pb2.GetOrderResponse: ...
    async def DiffOrder(
        self,
        *,
        order_id: str = ...,
        since: protos.orders.v1.queries_pb2.Moment | Fields | None = ...,
        until: protos.orders.v1.queries_pb2.Moment | Fields | None = ...,
        page_size: int = ...,
        page_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.queries_pb2.DiffOrderResponse: ...
    async def ListOrders(
        self,
        *,
        page_size: int = ...,
        page_token: str = ...,
        customer_id: str = ...,
        status: protos.orders.v1.types_pb2.OrderStatus.ValueType | str = ...,
        created_from: google.protobuf.timestamp_pb2.Timestamp | Fields | None = ...,
        created_to: google.protobuf.timestamp_pb2.Timestamp | Fields | None = ...,
        order_by: str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.queries_pb2.ListOrdersResponse: ...
    async def GetCustomerOrders(
        self, *, customer_id: str = ..., consistency_token: str = ..., deadline: float | None = ...
    ) -> protos.orders.v1.queries_pb2.GetCustomerOrdersResponse: ...
    async def GetOrderHistory(
        self,
        *,
        page_size: int = ...,
        page_token: str = ...,
        order_id: str = ...,
        consistency_token: str = ...,
        as_tree: bool = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.queries_pb2.GetOrderHistoryResponse: ...
    def WatchOrder(
        self, *, order_id: str = ..., resume_token: str = ..., deadline: float | None = ...
    ) -> collections.abc.AsyncIterator[protos.orders.v1.queries_pb2.WatchOrderResponse]: ...
    def WatchOrders(
        self,
        *,
        customer_id: str = ...,
        status: protos.orders.v1.types_pb2.OrderStatus.ValueType | str = ...,
        resume_token: str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.orders.v1.queries_pb2.WatchOrdersResponse]: ...
    async def GetOrderTimeline(
        self,
        *,
        page_size: int = ...,
        page_token: str = ...,
        order_id: str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.queries_pb2.GetOrderTimelineResponse: ...
    async def GetSalesDaily(
        self,
        *,
        from_day: str = ...,
        to_day: str = ...,
        consistency_token: str = ...,
        page_size: int = ...,
        page_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.orders.v1.queries_pb2.GetSalesDailyResponse: ...
    @typing.overload
    def pages(
        self,
        name: typing.Literal["DiffOrder"],
        *,
        order_id: str = ...,
        since: protos.orders.v1.queries_pb2.Moment | Fields | None = ...,
        until: protos.orders.v1.queries_pb2.Moment | Fields | None = ...,
        page_size: int = ...,
        page_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.orders.v1.queries_pb2.DiffOrderResponse]: ...
    @typing.overload
    def pages(
        self,
        name: typing.Literal["ListOrders"],
        *,
        page_size: int = ...,
        page_token: str = ...,
        customer_id: str = ...,
        status: protos.orders.v1.types_pb2.OrderStatus.ValueType | str = ...,
        created_from: google.protobuf.timestamp_pb2.Timestamp | Fields | None = ...,
        created_to: google.protobuf.timestamp_pb2.Timestamp | Fields | None = ...,
        order_by: str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.orders.v1.queries_pb2.ListOrdersResponse]: ...
    @typing.overload
    def pages(
        self,
        name: typing.Literal["GetOrderHistory"],
        *,
        page_size: int = ...,
        page_token: str = ...,
        order_id: str = ...,
        consistency_token: str = ...,
        as_tree: bool = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.orders.v1.queries_pb2.GetOrderHistoryResponse]: ...
    @typing.overload
    def pages(
        self,
        name: typing.Literal["GetOrderTimeline"],
        *,
        page_size: int = ...,
        page_token: str = ...,
        order_id: str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.orders.v1.queries_pb2.GetOrderTimelineResponse]: ...
    @typing.overload
    def pages(
        self,
        name: typing.Literal["GetSalesDaily"],
        *,
        from_day: str = ...,
        to_day: str = ...,
        consistency_token: str = ...,
        page_size: int = ...,
        page_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.orders.v1.queries_pb2.GetSalesDailyResponse]: ...

class Products:
    def __init__(self, caller: Caller) -> None: ...
    async def RegisterProduct(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        name: str = ...,
        price: protos.common.v1.types_pb2.Money | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.RegisterProductResponse: ...
    async def RenameProduct(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        name: str = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.RenameProductResponse: ...
    async def ChangePrice(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        price: protos.common.v1.types_pb2.Money | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.ChangePriceResponse: ...
    async def ActivateProduct(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.ActivateProductResponse: ...
    async def DiscontinueProduct(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.DiscontinueProductResponse: ...
    async def ReceiveStock(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        quantity: int = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.ReceiveStockResponse: ...
    async def AdjustStock(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        change: int = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.AdjustStockResponse: ...
    async def ReserveStock(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        reservation_id: str = ...,
        quantity: int = ...,
        expires_at: google.protobuf.timestamp_pb2.Timestamp | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.ReserveStockResponse: ...
    async def CommitReservation(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        reservation_id: str = ...,
        quantity: int = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.CommitReservationResponse: ...
    async def ReleaseReservation(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        reservation_id: str = ...,
        keep: int = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.ReleaseReservationResponse: ...
    async def ExpireReservation(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        reservation_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.ExpireReservationResponse: ...
    async def RestockReturn(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        sku: str = ...,
        return_id: str = ...,
        quantity: int = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.commands_pb2.RestockReturnResponse: ...
    async def GetProduct(
        self, *, sku: str = ..., consistency_token: str = ..., deadline: float | None = ...
    ) -> protos.products.v1.queries_pb2.GetProductResponse: ...
    async def ListProducts(
        self,
        *,
        page_size: int = ...,
        page_token: str = ...,
        status: protos.products.v1.types_pb2.ProductStatus.ValueType | str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.queries_pb2.ListProductsResponse: ...
    async def GetStock(
        self, *, sku: str = ..., consistency_token: str = ..., deadline: float | None = ...
    ) -> protos.products.v1.queries_pb2.GetStockResponse: ...
    async def ListStock(
        self,
        *,
        page_size: int = ...,
        page_token: str = ...,
        available_at_most: int | None = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.products.v1.queries_pb2.ListStockResponse: ...
    @typing.overload
    def pages(
        self,
        name: typing.Literal["ListProducts"],
        *,
        page_size: int = ...,
        page_token: str = ...,
        status: protos.products.v1.types_pb2.ProductStatus.ValueType | str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.products.v1.queries_pb2.ListProductsResponse]: ...
    @typing.overload
    def pages(
        self,
        name: typing.Literal["ListStock"],
        *,
        page_size: int = ...,
        page_token: str = ...,
        available_at_most: int | None = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.products.v1.queries_pb2.ListStockResponse]: ...

class Users:
    def __init__(self, caller: Caller) -> None: ...
    async def RegisterUser(
        self,
        *,
        request_id: str = ...,
        user_id: str = ...,
        email: str = ...,
        name: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.RegisterUserResponse: ...
    async def ChangeEmail(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        email: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.ChangeEmailResponse: ...
    async def ResolveEmail(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        email_hash: str = ...,
        keep_user_id: str = ...,
        other_user_ids: collections.abc.Iterable[str] = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.ResolveEmailResponse: ...
    async def ChangeName(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        name: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.ChangeNameResponse: ...
    async def BlockUser(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.BlockUserResponse: ...
    async def UnblockUser(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.UnblockUserResponse: ...
    async def AddAddress(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        address_id: str = ...,
        address: protos.common.v1.types_pb2.Address | Fields | None = ...,
        is_default: bool = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.AddAddressResponse: ...
    async def ChangeAddress(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        address_id: str = ...,
        address: protos.common.v1.types_pb2.Address | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.ChangeAddressResponse: ...
    async def RemoveAddress(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        address_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.RemoveAddressResponse: ...
    async def SetDefaultAddress(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        user_id: str = ...,
        address_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.users.v1.commands_pb2.SetDefaultAddressResponse: ...
    async def GetUser(
        self, *, user_id: str = ..., consistency_token: str = ..., deadline: float | None = ...
    ) -> protos.users.v1.queries_pb2.GetUserResponse: ...
    async def GetEmailHolders(
        self, *, email: str = ..., email_hash: str = ..., deadline: float | None = ...
    ) -> protos.users.v1.queries_pb2.GetEmailHoldersResponse: ...

class Processes:
    def __init__(self, caller: Caller) -> None: ...
    async def StartProcess(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        plan_id: str = ...,
        drawn: collections.abc.Iterable[protos.processes.v1.types_pb2.DrawnUnits | Fields] = ...,
        expires_at: google.protobuf.timestamp_pb2.Timestamp | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.processes.v1.commands_pb2.StartProcessResponse: ...
    async def RetryProcess(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        deadline: float | None = ...,
    ) -> protos.processes.v1.commands_pb2.RetryProcessResponse: ...
    async def SkipStep(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        step: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.processes.v1.commands_pb2.SkipStepResponse: ...
    async def CompensateProcess(
        self,
        *,
        request_id: str = ...,
        expected_revision: int | None = ...,
        order_id: str = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.processes.v1.commands_pb2.CompensateProcessResponse: ...
    async def GetProcess(
        self, *, order_id: str = ..., consistency_token: str = ..., deadline: float | None = ...
    ) -> protos.processes.v1.queries_pb2.GetProcessResponse: ...
    async def ListProcesses(
        self,
        *,
        page_size: int = ...,
        page_token: str = ...,
        status: protos.processes.v1.types_pb2.ProcessStatus.ValueType | str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.processes.v1.queries_pb2.ListProcessesResponse: ...
    async def PlanProcess(
        self,
        *,
        order_id: str = ...,
        drawn: collections.abc.Iterable[protos.processes.v1.types_pb2.DrawnUnits | Fields] = ...,
        expires_at: google.protobuf.timestamp_pb2.Timestamp | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.processes.v1.queries_pb2.PlanProcessResponse: ...
    def pages(
        self,
        name: typing.Literal["ListProcesses"],
        *,
        page_size: int = ...,
        page_token: str = ...,
        status: protos.processes.v1.types_pb2.ProcessStatus.ValueType | str = ...,
        consistency_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.processes.v1.queries_pb2.ListProcessesResponse]: ...

class Operations:
    def __init__(self, caller: Caller) -> None: ...
    async def ListProjections(
        self, *, deadline: float | None = ...
    ) -> protos.operations.v1.projections_pb2.ListProjectionsResponse: ...
    async def GetProjection(
        self, *, view: str = ..., deadline: float | None = ...
    ) -> protos.operations.v1.projections_pb2.GetProjectionResponse: ...
    async def PauseProjection(
        self, *, view: str = ..., reason: str = ..., deadline: float | None = ...
    ) -> protos.operations.v1.projections_pb2.PauseProjectionResponse: ...
    async def ResumeProjection(
        self, *, view: str = ..., reason: str = ..., deadline: float | None = ...
    ) -> protos.operations.v1.projections_pb2.ResumeProjectionResponse: ...
    async def PlanProjection(
        self,
        *,
        change: protos.operations.v1.projections_pb2.ProjectionChange | Fields | None = ...,
        deadline: float | None = ...,
    ) -> protos.operations.v1.projections_pb2.PlanProjectionResponse: ...
    async def ApplyProjection(
        self,
        *,
        plan_id: str = ...,
        change: protos.operations.v1.projections_pb2.ProjectionChange | Fields | None = ...,
        reason: str = ...,
        wait: bool = ...,
        deadline: float | None = ...,
    ) -> protos.operations.v1.projections_pb2.ApplyProjectionResponse: ...
    def RebuildProjection(
        self,
        *,
        plan_id: str = ...,
        change: protos.operations.v1.projections_pb2.ProjectionChange | Fields | None = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.operations.v1.projections_pb2.RebuildProjectionResponse]: ...
    async def PlanRebuilds(
        self, *, allow_parked: bool = ..., deadline: float | None = ...
    ) -> protos.operations.v1.projections_pb2.PlanRebuildsResponse: ...
    def RebuildAll(
        self,
        *,
        plan_id: str = ...,
        views: collections.abc.Iterable[str] = ...,
        allow_parked: bool = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.operations.v1.projections_pb2.RebuildAllResponse]: ...
    async def ListParkedStreams(
        self, *, view: str = ..., max_streams: int = ..., deadline: float | None = ...
    ) -> protos.operations.v1.projections_pb2.ListParkedStreamsResponse: ...
    async def ListActs(
        self, *, view: str = ..., max_acts: int = ..., deadline: float | None = ...
    ) -> protos.operations.v1.projections_pb2.ListActsResponse: ...
    def VerifyProjections(
        self,
        *,
        views: collections.abc.Iterable[str] = ...,
        max_differences: int = ...,
        sample: int = ...,
        heal: bool = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.operations.v1.projections_pb2.VerifyProjectionsResponse]: ...

class Subscriptions:
    def __init__(self, caller: Caller) -> None: ...
    async def ListSubscriptions(
        self, *, deadline: float | None = ...
    ) -> protos.operations.v1.subscriptions_pb2.ListSubscriptionsResponse: ...
    async def GetSubscription(
        self, *, source: str = ..., group: str = ..., deadline: float | None = ...
    ) -> protos.operations.v1.subscriptions_pb2.GetSubscriptionResponse: ...
    async def ListParkedEvents(
        self,
        *,
        source: str = ...,
        group: str = ...,
        page_size: int = ...,
        page_token: str = ...,
        deadline: float | None = ...,
    ) -> protos.operations.v1.subscriptions_pb2.ListParkedEventsResponse: ...
    async def PlanReplay(
        self, *, source: str = ..., group: str = ..., limit: int = ..., deadline: float | None = ...
    ) -> protos.operations.v1.subscriptions_pb2.PlanReplayResponse: ...
    async def ApplyReplay(
        self,
        *,
        plan_id: str = ...,
        source: str = ...,
        group: str = ...,
        limit: int = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.operations.v1.subscriptions_pb2.ApplyReplayResponse: ...
    async def PlanChange(
        self,
        *,
        change: protos.operations.v1.subscriptions_pb2.GroupChange.ValueType | str = ...,
        source: str = ...,
        group: str = ...,
        start: int = ...,
        from_end: bool = ...,
        deadline: float | None = ...,
    ) -> protos.operations.v1.subscriptions_pb2.PlanChangeResponse: ...
    async def ApplyChange(
        self,
        *,
        plan_id: str = ...,
        change: protos.operations.v1.subscriptions_pb2.GroupChange.ValueType | str = ...,
        source: str = ...,
        group: str = ...,
        start: int = ...,
        from_end: bool = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.operations.v1.subscriptions_pb2.ApplyChangeResponse: ...
    async def RestartSubscriptions(
        self, *, reason: str = ..., deadline: float | None = ...
    ) -> protos.operations.v1.subscriptions_pb2.RestartSubscriptionsResponse: ...
    def pages(
        self,
        name: typing.Literal["ListParkedEvents"],
        *,
        source: str = ...,
        group: str = ...,
        page_size: int = ...,
        page_token: str = ...,
        deadline: float | None = ...,
    ) -> collections.abc.AsyncIterator[protos.operations.v1.subscriptions_pb2.ListParkedEventsResponse]: ...

class Exclusions:
    def __init__(self, caller: Caller) -> None: ...
    async def PlanExclusion(
        self, *, stream: str = ..., revision: int = ..., unknown_type: bool = ..., deadline: float | None = ...
    ) -> protos.operations.v1.exclusions_pb2.PlanExclusionResponse: ...
    async def ApplyExclusion(
        self,
        *,
        plan_id: str = ...,
        stream: str = ...,
        revision: int = ...,
        unknown_type: bool = ...,
        reason: str = ...,
        deadline: float | None = ...,
    ) -> protos.operations.v1.exclusions_pb2.ApplyExclusionResponse: ...
    async def ListExclusions(
        self, *, stream: str = ..., max_exclusions: int = ..., deadline: float | None = ...
    ) -> protos.operations.v1.exclusions_pb2.ListExclusionsResponse: ...

class Policy:
    def __init__(self, caller: Caller) -> None: ...
    async def GetPolicy(self, *, deadline: float | None = ...) -> protos.operations.v1.policy_pb2.GetPolicyResponse: ...

CONTEXTS: tuple[type[Context], ...]
