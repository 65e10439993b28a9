"""Small charts as SVG, made here: no script, no style but the classes of the stylesheet. Pure.

A chart says the same in words (`label`), for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from markupsafe import Markup

from connector.series import Point

WIDTH, HEIGHT = 380, 124
LEFT, RIGHT, TOP, BOTTOM = 46, 4, 10, 18
COLOURS = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """What the charts of one page have in common."""

    zone: ZoneInfo
    number: Callable[[float], str]


def columns(lines: Mapping[str, Sequence[Point]], label: str, frame: Frame) -> Markup:
    """Stacked columns: how many in each minute, of each of `lines`."""
    stacks = list(zip(*lines.values(), strict=True))
    top = _round_up(max((sum(p.value or 0 for p in stack) for stack in stacks), default=0))
    width = (WIDTH - LEFT - RIGHT) / max(1, len(stacks))
    parts = []
    for at, stack in enumerate(stacks):
        base = 0.0
        told = ", ".join(
            f"{name} {frame.number(point.value or 0)}"
            for name, point in zip(lines, stack, strict=True)
        )
        marks = []
        for colour, point in enumerate(stack):
            if not point.value:
                continue
            y = _y(base + point.value, top)
            height = _y(base, top) - y
            marks.append(_column(colour, LEFT + at * width, y, width, height))
            base += point.value
        if marks:
            title = Markup("<title>{} · {}</title>").format(_clock(stack[0], frame.zone), told)
            parts.append(Markup("<g>{}{}</g>").format(title, Markup().join(marks)))
    return _chart(parts, stacks[0][0] if stacks else None, _last(stacks), top, label, frame)


def curves(lines: Mapping[str, Sequence[Point]], label: str, frame: Frame) -> Markup:
    """One curve for each of `lines`; broken where nothing is known."""
    known = [p.value for points in lines.values() for p in points if p.value is not None]
    top = _round_up(max(known, default=0))
    parts = []
    for colour, (name, points) in enumerate(lines.items()):
        step = (WIDTH - LEFT - RIGHT) / max(1, len(points) - 1)
        places = [
            None if p.value is None else f"{LEFT + at * step:.1f} {_y(p.value, top):.1f}"
            for at, p in enumerate(points)
        ]
        runs = [list(run) for is_gap, run in groupby(places, lambda place: not place) if not is_gap]
        for kind, path in (
            ("", " ".join(f"M{'L'.join(map(str, run))}" for run in runs if len(run) > 1)),
            (" dot", " ".join(f"M{run[0]}h.1" for run in runs if len(run) == 1)),
        ):
            if path:
                parts.append(
                    Markup('<path class="l{}{}" d="{}"><title>{}</title></path>').format(
                        colour % COLOURS, kind, path, name
                    )
                )
    stacks = list(zip(*lines.values(), strict=True))
    return _chart(parts, stacks[0][0] if stacks else None, _last(stacks), top, label, frame)


def _column(colour: int, x: float, y: float, width: float, height: float) -> Markup:
    return Markup(
        '<rect class="c{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    ).format(colour % COLOURS, x, y, max(1, width - 1), height)


def _chart(
    parts: Sequence[Markup],
    first: Point | None,
    last: Point | None,
    top: float,
    label: str,
    frame: Frame,
) -> Markup:
    floor = HEIGHT - BOTTOM
    grid = [
        Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            LEFT, WIDTH - RIGHT, y, y
        )
        for y in (TOP, (TOP + floor) / 2, floor)
    ]
    words = [
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
            LEFT - 6, y + 4, frame.number(amount)
        )
        for y, amount in ((TOP, top), (floor, 0.0))
    ]
    for point, x, anchor in ((first, LEFT, "start"), (last, WIDTH - RIGHT, "end")):
        if point:
            words.append(
                Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(
                    x, HEIGHT - 4, anchor, _clock(point, frame.zone)
                )
            )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, HEIGHT, label, Markup().join([*grid, *parts, *words]))


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * min(1.0, value / top)


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, …; what the axis ends with."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size * 10 <= value:
        size *= 10
    while size > value:
        size /= 10
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if value <= size * step)


def _clock(point: Point, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(point.minute * 60, UTC).astimezone(zone).strftime("%H:%M")


def _last(stacks: Sequence[Sequence[Point]]) -> Point | None:
    return stacks[-1][0] if stacks else None
