"""The picture of the launches' table: bars, as an SVG of a few lines; the same numbers make the same bytes."""

from collections.abc import Sequence
from html import escape

_WIDTH = 840
_ROW = 26
_LABEL = 310
_TOP = 56
_COLOURS = {"runwright": "#2563eb", "C floor": "#64748b", "plain": "#cbd5e1"}
_OTHER = "#f59e0b"


def bars(title: str, note: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Return an SVG with a bar for each row: whose it is, how long, and what it says at its end."""
    longest = max(length for _, length, _ in rows)
    room = _WIDTH - _LABEL - 150
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_TOP + _ROW * len(rows) + 12}" '
        f'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="12" y="42" fill="#475569">{escape(note)}</text>',
    ]
    for number, (name, length, told) in enumerate(rows):
        y = _TOP + _ROW * number
        width = max(1.0, room * length / longest)
        colour = next((colour for start, colour in _COLOURS.items() if name.startswith(start)), _OTHER)
        lines += [
            f'<text x="{_LABEL - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LABEL}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 8}" fill="{colour}"/>',
            f'<text x="{_LABEL + width + 6:.1f}" y="{y + 16}" fill="#334155">{escape(told)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
