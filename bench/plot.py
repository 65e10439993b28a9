"""The picture of the results: an SVG written by hand, so that no plotting library is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
_LEFT, _RIGHT, _ROW, _HEAD = 250, 90, 26, 58
_COLOURS = {"connector": "#1f6feb", "plain": "#8b949e"}
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600;font-size:15px}"
    ".n{fill:#59636e;font-size:12px}.g{stroke:#cf222e;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.n{fill:#9198a1}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One value with the range of its runs. `goal` is drawn as a red mark."""

    label: str
    system: str
    value: float
    least: float
    most: float
    told: str
    goal: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars that share one logarithmic axis."""

    title: str
    note: str
    bars: Sequence[Bar]


def svg(panels: Sequence[Panel]) -> str:
    """The whole picture."""
    parts, top = [], 12
    for panel in panels:
        parts.append(_panel(panel, top))
        top += _HEAD + _ROW * len(panel.bars) + 20
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}"'
        f' height="{top}" role="img" aria-label="{escape(panels[0].title)}">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> str:
    scale = _Scale(panel.bars)
    lines = [
        f'<text class="t" x="12" y="{top + 16}">{escape(panel.title)}</text>',
        f'<text class="n" x="12" y="{top + 36}">{escape(panel.note)}</text>',
    ]
    for number, bar in enumerate(panel.bars):
        lines += _bar(bar, top + _HEAD + number * _ROW, scale)
    return "\n".join(lines)


def _bar(bar: Bar, y: int, scale: _Scale) -> list[str]:
    end, middle = scale.at(bar.value), y + 8
    lines = [
        f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="16" rx="2"'
        f' fill="{_COLOURS[bar.system]}"/>',
    ]
    if bar.most > bar.least:
        lines.append(
            f'<line x1="{scale.at(bar.least):.1f}" x2="{scale.at(bar.most):.1f}" y1="{middle}"'
            f' y2="{middle}" stroke="#1f2328" stroke-width="1.5"/>'
        )
    if bar.goal is not None:
        at = scale.at(bar.goal)
        lines.append(
            f'<line class="g" x1="{at:.1f}" x2="{at:.1f}" y1="{y - 3}" y2="{y + 19}">'
            f"<title>goal: {bar.goal:g}</title></line>"
        )
    right = max(end, scale.at(bar.most), scale.at(bar.goal or bar.value)) + 6
    return [*lines, f'<text x="{right:.1f}" y="{y + 13}">{escape(bar.told)}</text>']


class _Scale:
    """Logarithmic, from half of the least to the greatest of all bars."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        values = [v for bar in bars for v in (bar.value, bar.least, bar.most, bar.goal) if v]
        self._low = math.log10(min(values) / 2)
        self._span = max(math.log10(max(values)) - self._low, 1e-9)

    def at(self, value: float) -> float:
        """Where a value stands, in pixels."""
        share = (math.log10(max(value, 1e-9)) - self._low) / self._span
        return _LEFT + max(share, 0.0) * (WIDTH - _LEFT - _RIGHT)
