"""The results of the bench in the documents: `docs/performance/` has the JSON and the plots, the page its tables.

A run of some parts replaces what it measured and leaves the rest. In the pages everything between
`<!-- bench: NAME -->` and `<!-- end -->` is written here, so that no number is copied by hand.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import scaling
from bench.charts import line_chart

DOCS = Path("docs")
PAGES = ("performance.md", "scaling.md")
PLACE = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Found = Mapping[str, Any]


def write(result: Found, docs: Path = DOCS) -> None:
    """All results of a run."""
    folder = docs / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "bench.json"
    known = json.loads(file.read_text()) if file.exists() else {"goals": [], "figures": {}}
    found = merged(known, result)
    file.write_text(json.dumps(found, indent=1) + "\n")
    for name, chart in charts(found["figures"]).items():
        (folder / f"{name}.svg").write_text(chart)
    for name in PAGES:
        page = docs / name
        page.write_text(filled(page.read_text(), found))


def merged(known: Found, new: Found) -> dict[str, Any]:
    """The new run over what was known before."""
    ids = {goal["id"] for goal in new["goals"]}
    goals = [goal for goal in known["goals"] if goal["id"] not in ids] + list(new["goals"])
    return {
        "goals": sorted(goals, key=lambda goal: str(goal["id"])),
        "figures": {**known["figures"], **new["figures"]},
    }


def filled(page: str, found: Found) -> str:
    """The page with its tables generated again. A place without results stays as it is."""

    def table(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        make = TABLES[name]
        try:
            return f"{begin}{make(found)}{end}"
        except KeyError:  # a part that has not been run
            return match.group(0)

    return PLACE.sub(table, page)


def _rows(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _goals(found: Found) -> str:
    return _rows(
        ["", "what", "measured (lowest to highest round)", "goal", ""],
        [
            [goal["id"], goal["what"], goal["why_not"], goal["goal"], "not measured"]
            if goal["ratio"] is None
            else [
                goal["id"],
                goal["what"],
                f"**{goal['ratio']:g}** ({goal['low']:g} to {goal['high']:g})",
                goal["goal"],
                "holds" if goal["holds"] else "falls short",
            ]
            for goal in found["goals"]
        ],
    )


def _about(found: Found) -> str:
    about = found["figures"]["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['cores']} cores, load {about['load_before']} before it began, Python {about['python']}, {versions}; "
        f"{about['settings']}; {about['rounds']} rounds of {about['operations']:,} operations.\n"
    )


def _costs(found: Found) -> str:
    """CPU per operation, by process."""
    figures = found["figures"]
    places = (
        ("commands", "cpu_us_per_command", {"": "a command through the service"}),
        ("commands", "cpu_us_per_append", {"": "a raw append of esdbclient"}),
        ("peer", "cpu_us_per_command", {"ours_without_grpc": "a command without the service before it"}),
        (
            "projections",
            "cpu_us_per_event",
            {
                "drain": "an event, only drained",
                "apply": "an event decoded, folded, written",
                "catch_up": "an event into order_list",
                "all_views": "the same, all views",
            },
        ),
        (
            "queries",
            "cpu_us_per_query",
            {
                "echo": "an empty call",
                "find_one": "a bare find_one",
                "get_order": "GetOrder",
                "list_orders": "50 orders",
            },
        ),
    )
    rows = []
    for part, name, wanted in places:
        for key, what in wanted.items():
            costs = figures[part][name][key] if key else figures[part][name]
            ours = sum(cost for process, cost in costs.items() if process not in {"eventstore", "mongo", "bench"})
            rows.append([what, costs.get("bench", 0), ours, costs.get("eventstore", 0), costs.get("mongo", 0)])
    return _rows(["µs of CPU", "bench (caller)", "our service", "event store", "view store"], rows)


def _hotpaths(found: Found) -> str:
    """CPU of the three hot paths, the plain way and ours."""
    paths = {"command": "a command, handled", "event": "an event into order_list", "query": "an order by its id"}
    stores = ("eventstore", "mongo")
    return _rows(
        ["µs of CPU", "plain: here", "plain: the stores", "ours: here", "ours: the stores"],
        [
            [what, *(x for way in ("plain", "ours") for x in (costs[way]["bench"], sum(costs[way][s] for s in stores)))]
            for path, what in paths.items()
            for costs in (found["figures"]["hotpaths"]["cpu_us"][path],)
        ],
    )


def _shares(found: Found) -> str:
    """Where ours goes: the kinds of code that have at least a hundredth."""
    shares = found["figures"]["hotpaths"]["shares"]
    kinds = sorted({kind for of in shares.values() for kind, share in of.items() if share >= 0.01})
    return _rows(
        ["", *(f"a{'n' if path == 'event' else ''} {path}" for path in shares)],
        [[kind, *(f"{100 * of.get(kind, 0.0):.0f} %" for of in shares.values())] for kind in kinds],
    )


def _live(found: Found) -> str:
    members = ("commands", "eventstore", "projections", "mongo", "queries", "processes")
    return _rows(
        ["orders/s", "lag, p50", "lag, p99", *(f"µs in {name}" for name in members), "µs per event"],
        [
            [
                one["orders_per_second"],
                f"{one['lag']['p50_ms']} ms",
                f"{one['lag']['p99_ms']} ms",
                *(one["cpu_us_per_event"][name] for name in members),
                sum(one["cpu_us_per_event"].values()),
            ]
            for one in found["figures"]["live"]["by_load"]
        ],
    )


def _idle(found: Found) -> str:
    idle = found["figures"]["idle"]
    return _rows(["process", "ms of CPU a second"], [*idle["cpu_ms_per_second"].items(), ("all", idle["all"])])


def _growth(found: Found) -> str:
    return _rows(
        [
            "events in the log",
            "events appended /s",
            "drain /s",
            "two views /s",
            "command p50",
            "GetOrder p50",
            "list p50",
            "start",
        ],
        [
            [
                one["events"],
                one["appended_per_second"],
                one["drained_per_second"],
                one["caught_up_per_second"],
                *(f"{one['p50_ms'][name]} ms" for name in ("command", "get_order", "list_orders")),
                f"{one['start_seconds']} s",
            ]
            for one in found["figures"]["growth"]["by_events_in_the_log"]
        ],
    )


def _memory(found: Found) -> str:
    names = ("eventstore", "mongo", "commands", "queries")
    return _rows(
        ["events in the log", *(f"{name}, MiB" for name in names)],
        [
            [one["events"], *(one["memory_mib"][name] for name in names)]
            for one in found["figures"]["growth"]["by_events_in_the_log"]
        ],
    )


def _aggregates(found: Found) -> str:
    return _rows(
        ["events of the aggregate", "first command", "next command", "after a restart of the service"],
        [
            [one["events"], *(f"{one[name]} ms" for name in ("first_ms", "remembered_ms", "after_a_restart_ms"))]
            for one in found["figures"]["growth"]["by_events_of_an_aggregate"]
        ],
    )


def _views(found: Found) -> str:
    return _rows(
        ["views", "events/s", "events/s and view", "µs in the views", "event store", "view store"],
        [
            [
                one["views"],
                one["events_per_second"],
                one["events_per_second_and_view"],
                *(one["cpu_us_per_event_and_view"][name] for name in ("bench", "eventstore", "mongo")),
            ]
            for one in found["figures"]["growth"]["by_views"]
        ],
    )


def _scaling(found: Found) -> str:
    rows = scaling.steps(scaling.measured(found), scaling.Shop(), scaling.Stores())
    return _rows(
        ["orders a minute", *(f"{found_.orders_per_minute:,.0f}" for found_, _ in rows)],
        [
            [what, *(getattr(found_, name) for found_, _ in rows)]
            for what, name in (
                ("commands/s", "commands_per_second"),
                ("events/s", "events_per_second"),
                ("documents written/s", "documents_per_second"),
                ("queries/s", "queries_per_second"),
                ("cores for commands", "command_cores"),
                ("cores for queries", "query_cores"),
                ("workers of each view, a core each", "view_workers"),
                ("EventStoreDB clusters of three", "clusters"),
                ("MongoDB shards", "shards"),
                ("the best selling product's stream is busy", "hottest_product_busy"),
                ("first to give way", "first_to_give_way"),
            )
        ],
    )


def _simulation(found: Found) -> str:
    rows = scaling.steps(scaling.measured(found), scaling.Shop(), scaling.Stores())
    return _rows(
        ["orders a minute", *(f"{found_.orders_per_minute:,.0f}" for found_, _ in rows)],
        [
            [what, *(f"{getattr(seen, name):,g} ms" for _, seen in rows)]
            for what, name in (
                ("its commands, p50", "commands_p50"),
                ("its commands, p99", "commands_p99"),
                ("all lines reserved, p50", "reserved_p50"),
                ("all lines reserved, p99", "reserved_p99"),
                ("the same with the best selling product, p99", "hottest_p99"),
                ("visible in a view, p99", "visible_p99"),
            )
        ],
    )


def _assumed(_: Found) -> str:
    values = {**asdict(scaling.Shop()), **asdict(scaling.Stores())}
    return _rows(["assumed", ""], [[f"`--{name.replace('_', '-')}`", f"{value:,g}"] for name, value in values.items()])


def _measured(found: Found) -> str:
    costs = asdict(scaling.measured(found))
    return _rows(["measured", "µs of CPU"], [[f"`--{name}`", value] for name, value in costs.items()])


def _watches(found: Found) -> str:
    return _rows(
        ["watches of one order", "the last has seen a change, p50", "µs per change and watch in the service", "MiB"],
        [
            [
                one["watches"],
                f"{one['last_seen_p50_ms']} ms",
                one["cpu_us_per_change_and_watch"]["queries"],
                one["memory_mib_queries"],
            ]
            for one in found["figures"]["growth"]["by_watches"]
        ],
    )


TABLES: Mapping[str, Callable[[Found], str]] = {
    "goals": _goals,
    "about": _about,
    "costs": _costs,
    "hotpaths": _hotpaths,
    "shares": _shares,
    "live": _live,
    "idle": _idle,
    "growth": _growth,
    "memory": _memory,
    "aggregates": _aggregates,
    "views": _views,
    "watches": _watches,
    "scaling": _scaling,
    "simulation": _simulation,
    "assumed": _assumed,
    "measured": _measured,
}


def charts(figures: Found) -> dict[str, str]:
    """The curves of growth, by file name; none before it was measured."""
    if "growth" not in figures:
        return {}
    growth = figures["growth"]
    log, streams, views = (growth[f"by_{what}"] for what in ("events_in_the_log", "events_of_an_aggregate", "views"))

    def drawn(group: Sequence[Found], title: str, across: str, up: str, curves: Mapping[str, Sequence[str]]) -> str:
        x = "views" if group is views else "events"
        return line_chart(
            title, across, up, {name: [(one[x], _deep(one, path)) for one in group] for name, path in curves.items()}
        )

    return {
        "rates": drawn(
            log,
            "Rates as the log grows",
            "events in the log",
            "per second",
            {
                "appended": ["appended_per_second"],
                "drain": ["drained_per_second"],
                "two views": ["caught_up_per_second"],
            },
        ),
        "latencies": drawn(
            log,
            "Latencies as the log grows",
            "events in the log",
            "p50, ms",
            {name: ["p50_ms", name] for name in log[0]["p50_ms"]},
        ),
        "memory": drawn(
            log,
            "Memory as the log grows",
            "events in the log",
            "MiB",
            {name: ["memory_mib", name] for name in log[0]["memory_mib"]},
        ),
        "aggregates": drawn(
            streams,
            "A command as its aggregate grows",
            "events of the aggregate",
            "ms",
            {"first": ["first_ms"], "remembered": ["remembered_ms"], "after a restart": ["after_a_restart_ms"]},
        ),
        "views": drawn(
            views,
            "Views at once",
            "views",
            "events per second",
            {"each": ["events_per_second"], "together": ["events_per_second_and_view"]},
        ),
    }


def _deep(found: Any, path: Sequence[str]) -> float:
    for key in path:
        found = found[key]
    return float(found)
