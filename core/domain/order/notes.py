"""The rules of what people write down about an order."""

from collections.abc import Sequence

from core.domain.order.commands import AddNote
from core.domain.order.events import NoteAdded, OrderEvent
from core.domain.order.limits import require_room
from core.domain.order.state import Cancelled, Completed, Confirmed, Draft, Expired, Placed, Refused
from core.domain.rejection import Reason, Rejected

MAX_NOTE_LENGTH = 2_000  # characters


def add(
    order: Draft | Placed | Confirmed | Completed | Cancelled | Refused | Expired, command: AddNote
) -> Sequence[OrderEvent]:
    if len(command.text) > MAX_NOTE_LENGTH:
        raise Rejected(Reason.NOTE_TOO_LONG, order_id=order.order_id, length=len(command.text), most=MAX_NOTE_LENGTH)
    for known in order.notes:
        if known.note_id == command.note_id:
            if known.text == command.text:
                return []
            raise Rejected(Reason.NOTE_EXISTS, order_id=order.order_id, note_id=command.note_id)
    require_room(order.order_id, "notes", len(order.notes))
    return [NoteAdded(order_id=order.order_id, note_id=command.note_id, text=command.text, at=command.at)]
