"""What the bench found becomes tables and plots; what it did not run again stays as it was."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.charts import line_chart
from bench.report import PAGES, filled, merged, write


def goal(id_: str, ratio: float | None = 1.0) -> dict[str, Any]:
    bounds = {"ratio": ratio, "low": ratio, "high": ratio}
    return {
        "id": id_,
        "what": f"{id_} over that",
        **bounds,
        "goal": 0.9,
        "holds": ratio and ratio >= 0.9,
        "why_not": "x",
    }


def test_a_run_of_one_part_leaves_the_others_as_they_were() -> None:
    known = {"goals": [goal("G1", 1.0), goal("G3", 0.5)], "figures": {"commands": 1, "node": 2}}
    found = merged(known, {"goals": [goal("G3", 0.95)], "figures": {"node": 3}})
    assert [(one["id"], one["ratio"]) for one in found["goals"]] == [("G1", 1.0), ("G3", 0.95)]
    assert found["figures"] == {"commands": 1, "node": 3}


def test_a_table_is_made_again_between_its_marks_only() -> None:
    page = "before\n<!-- bench: goals -->\nold\n<!-- end -->\nafter\n"
    text = filled(page, {"goals": [goal("G1", 0.5), goal("G9", None)], "figures": {}})
    assert text == (
        "before\n<!-- bench: goals -->\n"
        "|  | what | measured (lowest to highest round) | goal |  |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| G1 | G1 over that | **0.5** (0.5 to 0.5) | 0.9 | falls short |\n"
        "| G9 | G9 over that | x | 0.9 | not measured |\n"
        "<!-- end -->\nafter\n"
    )


def test_a_table_of_what_was_not_run_stays() -> None:
    page = "<!-- bench: growth -->\nold\n<!-- end -->\n"
    assert filled(page, {"goals": [], "figures": {}}) == page


def test_a_table_that_there_is_not_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        filled("<!-- bench: nonsense -->\n<!-- end -->", {"goals": [], "figures": {}})


def test_a_run_is_kept_as_json_and_reported_on_the_page(tmp_path: Any) -> None:
    for page in PAGES:
        (tmp_path / page).write_text("<!-- bench: goals -->\n<!-- end -->\n")
    write({"goals": [goal("G1")], "figures": {"commands": {}}}, tmp_path)
    write({"goals": [goal("G3")], "figures": {"node": {}}}, tmp_path)
    kept = json.loads((tmp_path / "performance" / "bench.json").read_text())
    assert [one["id"] for one in kept["goals"]] == ["G1", "G3"]
    assert "| G1 |" in (tmp_path / "performance.md").read_text()


def test_a_plot_is_well_formed_and_has_a_curve_per_series() -> None:
    chart = line_chart("A <title> & more", "events", "ms", {"a": [(10, 1.0), (1_000, 3.0)], "b": [(10, 0.0)]})
    lines = [element for element in ElementTree.fromstring(chart).iter() if element.tag.endswith("polyline")]
    assert len(lines) == 2
