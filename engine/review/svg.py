"""A series to a small SVG drawing that needs nothing from outside: the curve, its threshold, and where it fired."""

import html
from datetime import datetime

from engine.review.series import Series

WIDTH, HEIGHT = 720, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 10, 22, 24
POINTS_DRAWN_MAX = 2_000
"""Of more points, of each stretch the lowest and the highest are drawn, so that no peak is lost."""


def draw(series: Series, *, moments: tuple[tuple[datetime, str], ...] = ()) -> str:
    """An `<svg>` element; `moments` are drawn as named lines."""
    times = [at for at, _ in series.points]
    values = [value for _, value in series.points]
    shown = [*values, *([series.threshold] if series.threshold is not None else [])]
    low, high = min(shown), max(shown)
    high = high if high > low else low + 1.0
    first, last = min(times), max(times)
    span_s = max((last - first).total_seconds(), 1e-6)

    def x(at: datetime) -> float:
        share = min(max((at - first).total_seconds() / span_s, 0.0), 1.0)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * (HEIGHT - _TOP - _BOTTOM), 1)

    curve = " ".join(f"{x(at)},{y(value)}" for at, value in _thinned(series.points))
    parts = [
        f"<title>{html.escape(f'{series.name}: {series.what}')}</title>",
        f'<text x="{_LEFT}" y="14" class="name">{html.escape(f"{series.name}: {series.what}"[:110])}</text>',
        *(_label(8, y(value) + 4, f"{value:.4g}") for value in dict.fromkeys((low, high))),
        _label(_LEFT, HEIGHT - 6, f"{first:%H:%M:%S}"),
        _label(WIDTH - 62, HEIGHT - 6, f"{last:%H:%M:%S}"),
        f'<polyline points="{curve}" class="curve"/>',
    ]
    if series.threshold is not None:
        parts.append(_line(_LEFT, y(series.threshold), WIDTH - _RIGHT, y(series.threshold), "threshold"))
    for at, name in moments:
        if first <= at <= last:
            parts.append(_line(x(at), _TOP, x(at), HEIGHT - _BOTTOM, "moment"))
            parts.append(_label(min(x(at) + 3, WIDTH - 90), _TOP + 10, name))
    parts += [f'<circle cx="{x(at)}" cy="{HEIGHT - _BOTTOM}" r="3" class="fired"/>' for at in series.marks[:200]]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def _thinned(points: tuple[tuple[datetime, float], ...]) -> list[tuple[datetime, float]]:
    ordered = sorted(points)
    if len(ordered) <= POINTS_DRAWN_MAX:
        return ordered
    step = -(-len(ordered) * 2 // POINTS_DRAWN_MAX)
    kept: list[tuple[datetime, float]] = []
    for start in range(0, len(ordered), step):
        stretch = ordered[start : start + step]
        ends = {min(stretch, key=lambda each: each[1]), max(stretch, key=lambda each: each[1])}
        kept += sorted(ends)
    return kept


def _label(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}">{html.escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>'
