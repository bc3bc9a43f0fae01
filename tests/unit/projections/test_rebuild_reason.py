"""Why a view has to be rebuilt."""

from typing import Any

import pytest

from core.readmodel.checkpoints import Checkpoint
from core.readmodel.generations import ActiveRebuild, BuildInfo, Phase, ViewGenerations
from projections.operations.rebuilds import rebuild_reason

BUILDING = ActiveRebuild(generation=2, plan_id="plan", started_at=0, total=1)
FAILED = ActiveRebuild(generation=2, plan_id="plan", started_at=0, total=1, phase=Phase.FAILED)
CASES: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("made from another log", {"log_mismatch": True, "code": "other", "stalled": True}),
    ("made by other code", {"code": "other", "stalled": True}),
    ("its rebuild failed", {"building": FAILED, "stalled": True}),
    ("stalled", {"stalled": True}),
    ("", {"building": BUILDING, "log_mismatch": True}),
]


@pytest.mark.parametrize(("reason", "case"), CASES, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_a_view_is_rebuilt_for_a_reason(reason: str, case: dict[str, Any]) -> None:
    made = {1: BuildInfo(code=case.get("code", "ours"))}
    pointer = ViewGenerations(view="order_list", building=case.get("building"), made=made)
    checkpoint = Checkpoint(
        view="order_list",
        generation=1,
        position=7,
        caught_up_at=0,
        updated_at=0,
        epoch=1,
        log_mismatch=case.get("log_mismatch", False),
    )
    assert rebuild_reason("ours", pointer, checkpoint, stalled=case.get("stalled", False)) == reason
