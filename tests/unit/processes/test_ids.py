"""Ids of processes: a space of their own, in which nobody else can be first."""

import asyncio
from uuid import UUID

import pytest
from esdbclient import NewEvent

from core.domain.checkout.events import CheckoutStepFailed
from core.domain.checkout.state import FORMER_IDS, OWN_IDS
from core.domain.order import ORDER
from core.domain.order.events import NoteAdded
from core.domain.order.state import Confirmed
from core.domain.stock import STOCK
from core.domain.stock.commands import ReleaseReservation, ReserveStock
from core.eventstore import codec
from core.rpc.validation import actor, callers_uuid, not_of_a_process
from server.processes.ids import derived
from tests.support.checkouts import Shop
from tests.support.orders import NOON, ORDER_ID


class TestAnId:
    def test_follows_from_what_it_is_for(self) -> None:
        assert derived(OWN_IDS, "a", "b") == derived(OWN_IDS, "a", "b")
        assert derived(OWN_IDS, "a", "b") != derived(OWN_IDS, "ab")

    def test_is_a_uuid_of_version_8(self) -> None:
        made = UUID(derived(OWN_IDS, "a"))
        assert (made.version, made.variant) == (8, UUID(int=0x8 << 60).variant)

    def test_of_a_former_release_stays_what_it_was(self) -> None:
        assert derived(FORMER_IDS, "reservation", ORDER_ID, "tea") == "8fdbc705-c5a9-507d-ae8e-286543d1ac47"


class TestFromOutside:
    def test_no_id_of_a_process_is_taken(self) -> None:
        assert "version 8" in str(callers_uuid(derived(OWN_IDS, "a")))

    @pytest.mark.parametrize("other", [derived(FORMER_IDS, "a"), "0198c0de-0000-7000-8000-000000000001"])
    def test_other_uuids_are(self, other: str) -> None:
        assert callers_uuid(other) is None

    @pytest.mark.parametrize("name", ["checkout", "checkout~2", "checkout~31"])
    def test_no_authorisation_is_recorded_under_the_name_of_one_of_a_process(self, name: str) -> None:
        assert not_of_a_process(name) == "is kept for processes"

    @pytest.mark.parametrize("name", ["checkouts", "checkout~", "my-checkout", "psp-1"])
    def test_others_are(self, name: str) -> None:
        assert not_of_a_process(name) is None

    @pytest.mark.parametrize("name", ["process:checkout", "Process:x", "orderstream", "orderstream-cli"])
    def test_nobody_passes_for_a_process_or_service(self, name: str) -> None:
        assert actor(name) is not None

    @pytest.mark.parametrize("name", ["anonymous", "ann", "till-3", "the process: ann"])
    def test_everybody_else_may_ask(self, name: str) -> None:
        assert actor(name) is None


@pytest.mark.parametrize("taken_by", [ReserveStock, ReleaseReservation])
def test_a_reservation_made_under_the_former_id_of_a_process_keeps_no_order_from_being_confirmed(
    taken_by: type,
) -> None:
    async def squatted() -> Shop:
        shop = Shop()
        await shop.open()
        former = derived(FORMER_IDS, "reservation", ORDER_ID, "tea")
        extra = {"quantity": 1, "expires_at": None} if taken_by is ReserveStock else {}
        await shop.send(STOCK, "tea", taken_by(sku="tea", reservation_id=former, at=NOON, **extra))
        await shop.run()
        return shop

    assert isinstance(asyncio.run(asyncio.run(squatted()).order()), Confirmed)


def test_a_request_id_that_was_used_before_is_noted_in_its_own_words() -> None:
    async def reused() -> Shop:
        shop = Shop()
        await shop.open()
        stream = ORDER.stream(ORDER_ID)
        kind, data = codec.encode(NoteAdded(order_id=ORDER_ID, note_id="n1", text="hello", at=NOON))
        metadata = codec.Metadata(
            correlation_id="c",
            causation_id="c",
            request_id=derived(OWN_IDS, ORDER_ID, stream, "confirm"),
            payload_hash="another",
            schema_version=1,
            actor="somebody",
            occurred_at=NOON,
        )
        revision = len([x async for x in shop.store.read(stream)]) - 1
        noted = NewEvent(type=kind, data=data, metadata=codec.encode_metadata(metadata))
        await shop.store.append(stream, revision, [noted])
        await shop.run()
        return shop

    log = asyncio.run(reused()).store.recorded
    failed = [codec.decode(x.type, x.data) for x in log if x.type == "CheckoutStepFailed"]
    reported = {(x.step, x.reason.partition(":")[0]) for x in failed if isinstance(x, CheckoutStepFailed)}
    assert reported == {("CONFIRM_ORDER", "REQUEST_ID_REUSED")}
