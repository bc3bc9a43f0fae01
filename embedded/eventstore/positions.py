"""Positions in `$all` for callers.

Inside, records have the numbers 1, 2, 3 …, so that a missing one is noticed. On the wire a position looks like a byte
offset, as that of a real server does: it rises with irregular gaps, and most numbers are no record's position. A client
that calculates with positions therefore fails here as it fails there. Position 0 is the beginning, before any record.
"""

STEP_BITS = 11
STEP = 1 << STEP_BITS  # the mean gap
MIN_GAP = 257
SPREAD = STEP - MIN_GAP + 1  # gaps are between MIN_GAP and 2 * STEP - MIN_GAP
_BITS = (1 << 64) - 1


def offset(number: int) -> int:
    """The position of the record with this number; 0 for 0."""
    mixed = number * 0x9E3779B97F4A7C15 & _BITS
    mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93 & _BITS
    return (number << STEP_BITS) + (mixed >> 32) % SPREAD


def number_of(position: int) -> int | None:
    """The record at a position, 0 for position 0; None if no record can be there."""
    number = position >> STEP_BITS
    return number if offset(number) == position else None


def last_number(position: int) -> int:
    """The number of the last record at the position or before it, whether there are as many or not."""
    number = position >> STEP_BITS
    return number if offset(number) <= position else number - 1
