"""Curves as SVG: the axes are logarithmic across and linear up, so that a constant is a flat line."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 70
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b9770e", "#555555")
STEPS = 4  # lines across

Series = Mapping[str, Sequence[tuple[float, float]]]


def line_chart(title: str, across: str, up: str, series: Series) -> str:
    """One curve per series of (x, y); x above 0. Light and dark backgrounds both carry it."""
    points = [point for curve in series.values() for point in curve]
    low, high = min(math.log10(x) for x, _ in points), max(math.log10(x) for x, _ in points)
    most = _round_up(max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(x) - low) / ((high - low) or 1)
        return (
            round(LEFT + share * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - y / most * (HEIGHT - TOP - BOTTOM), 1),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 20, title, "middle", size=14),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - BOTTOM + 34, across, "middle"),
        _text(8, TOP - 10, up, "start"),
    ]
    for step in range(STEPS + 1):
        value = most * step / STEPS
        _, y = place(10**low, value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#dddddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:,.4g}", "end"))
    for x in sorted({x for x, _ in points}):
        at, y = place(x, 0)
        parts.append(_text(at, y + 16, f"{x:,.0f}", "middle"))
    for number, (name, curve) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(*point) for point in sorted(curve)]
        line = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{line}"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(_text(LEFT + 130 * number, HEIGHT - 12, name, "start", colour=colour))
    return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str, *, size: int = 12, colour: str = "#222222") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'


def _round_up(value: float) -> float:
    """The next 1, 2, 4 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value)
