"""Each part of the bench runs, and says what it found in the agreed shape. No time is asserted."""

import json

import pytest

from bench.__main__ import PARTS
from bench.measuring import SMALLEST


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
async def test_the_smallest_run_of_a_part_reports_its_goals(part: str) -> None:
    result = json.loads(json.dumps((await PARTS[part](SMALLEST)).as_json()))
    assert result["figures"]
    for goal in result["goals"]:
        assert goal["what"]
        assert goal["goal"] > 0
        if goal["ratio"] is None:
            assert goal["why_not"]
        else:
            assert goal["low"] <= goal["ratio"] <= goal["high"]
            assert goal["holds"] in {True, False}
