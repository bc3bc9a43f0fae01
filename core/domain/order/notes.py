"""The rules of notes on an order."""

from collections.abc import Sequence

from core.domain.order.commands import AddNote
from core.domain.order.events import NoteAdded, OrderEvent
from core.domain.order.limits import require_capacity
from core.domain.order.state import Cancelled, Completed, Confirmed, Draft, Expired, Placed, Rejected
from core.domain.rejection import CommandRejected, Reason

MAX_NOTE_LENGTH = 2_000  # characters


def add(
    order: Draft | Placed | Confirmed | Completed | Cancelled | Rejected | Expired, command: AddNote
) -> Sequence[OrderEvent]:
    if len(command.text) > MAX_NOTE_LENGTH:
        raise CommandRejected(
            Reason.NOTE_TOO_LONG, order_id=order.order_id, length=len(command.text), most=MAX_NOTE_LENGTH
        )
    for known in order.notes:
        if known.note_id == command.note_id:
            if known.text == command.text:
                return []
            raise CommandRejected(Reason.NOTE_EXISTS, order_id=order.order_id, note_id=command.note_id)
    require_capacity(order.order_id, "notes", len(order.notes))
    return [NoteAdded(order_id=order.order_id, note_id=command.note_id, text=command.text, at=command.at)]
