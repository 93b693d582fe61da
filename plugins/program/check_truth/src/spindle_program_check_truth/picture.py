"""A picture of recovered against true intensities, as SVG that any browser shows."""

from __future__ import annotations

from html import escape

import numpy as np

from spindle_lib_comparison import Agreement

__all__ = ["draw_picture"]

SIZE, PAD = 420, 58  # px of a panel and of the space around it
BINS = 70
SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
INK, GRID, GOOD, LINE = "#222222", "#dddddd", "#1f6f8b", "#c8553d"


def draw_picture(title: str, found: np.ndarray, true: np.ndarray, agreement: Agreement) -> str:
    """SVG text: density of found against true intensities, and how ratio and z go with resolution.

    Parameters
    ----------
    title : str
    found, true : (n,) float64
        On one scale.
    agreement : Agreement
    """
    parts = [
        _open(2 * (SIZE + 2 * PAD), SIZE + 2 * PAD + 20),
        _text(PAD, 24, title, size=16, anchor="start"),
        f'<g transform="translate({PAD},{PAD - 10})">{_density(found, true)}</g>',
        f'<g transform="translate({SIZE + 3 * PAD},{PAD - 10})">{_shells(agreement)}</g>',
        "</svg>\n",
    ]
    return "\n".join(parts)


def _density(found: np.ndarray, true: np.ndarray) -> str:
    """Two-dimensional histogram on logarithmic axes."""
    positive = true > 0
    low = max(float(np.quantile(true[positive], 0.02)), 1e-3)
    high = float(true.max()) * 1.3
    a, b = np.log10(low), np.log10(high)
    x = np.clip((np.log10(true[positive]) - a) / (b - a), 0, 0.999999)
    y = np.clip((np.log10(np.maximum(found[positive], low)) - a) / (b - a), 0, 0.999999)
    counts = np.histogram2d(x, y, bins=BINS, range=[[0, 1], [0, 1]])[0]
    cell = SIZE / BINS
    shapes = [f'<rect width="{SIZE}" height="{SIZE}" fill="white" stroke="{INK}"/>']
    for decade in range(int(np.ceil(a)), int(np.floor(b)) + 1):
        at = SIZE * (decade - a) / (b - a)
        shapes.append(f'<path d="M{at:.1f} 0V{SIZE}M0 {SIZE - at:.1f}H{SIZE}" stroke="{GRID}"/>')
        shapes.append(_text(at, SIZE + 18, "10" + str(decade).translate(SUPERSCRIPT)))
        shapes.append(_text(-8, SIZE - at + 4, "10" + str(decade).translate(SUPERSCRIPT), anchor="end"))
    top = np.log1p(counts.max())
    for i, j in np.argwhere(counts > 0):
        shade = 0.15 + 0.85 * np.log1p(counts[i, j]) / top
        shapes.append(
            f'<rect x="{i * cell:.1f}" y="{SIZE - (j + 1) * cell:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
            f'fill="{GOOD}" fill-opacity="{shade:.2f}"/>'
        )
    shapes.append(f'<path d="M0 {SIZE}L{SIZE} 0" stroke="{LINE}" stroke-dasharray="5 4"/>')
    shapes.append(_text(SIZE / 2, SIZE + 40, "true intensity"))
    shapes.append(_text(0, 0, "recovered intensity", turn=f"translate(-44,{SIZE / 2}) rotate(-90)"))
    return "".join(shapes)


def _shells(agreement: Agreement) -> str:
    """Ratio and rms z by shell; 1 is perfect for both."""
    low, high = 0.7, 1.5
    n = len(agreement.ratio)

    def height(value: float) -> float:
        return SIZE * (1 - (min(max(value, low), high) - low) / (high - low))

    shapes = [f'<rect width="{SIZE}" height="{SIZE}" fill="white" stroke="{INK}"/>']
    for value in np.arange(low, high + 0.01, 0.1):
        shapes.append(f'<path d="M0 {height(value):.1f}H{SIZE}" stroke="{GRID}"/>')
        shapes.append(_text(-8, height(value) + 4, f"{value:.1f}", anchor="end"))
    shapes.append(f'<path d="M0 {height(1.0):.1f}H{SIZE}" stroke="{INK}" stroke-dasharray="5 4"/>')
    places = [SIZE * (k + 0.5) / n for k in range(n)]
    for values, colour, name, row in (
        (agreement.ratio, GOOD, "recovered / true", 0),
        (agreement.z_rms, LINE, "rms z", 1),
    ):
        points = " ".join(f"{x:.1f},{height(v):.1f}" for x, v in zip(places, values, strict=True))
        shapes.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shapes.extend(
            f'<circle cx="{x:.1f}" cy="{height(v):.1f}" r="3.5" fill="{colour}"/>'
            for x, v in zip(places, values, strict=True)
        )
        shapes.append(
            f'<circle cx="16" cy="{18 + 20 * row}" r="4" fill="{colour}"/>'
            + _text(26, 22 + 20 * row, name, anchor="start")
        )
    for x, d in zip(places, agreement.d_min, strict=True):
        shapes.append(_text(x, SIZE + 18, f"{d:.2f}", size=10))
    shapes.append(_text(SIZE / 2, SIZE + 40, "resolution limit of the shell (angstrom)"))
    return "".join(shapes)


def _open(width: float, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" fill="{INK}"><rect width="100%" height="100%" fill="white"/>'
    )


def _text(x: float, y: float, text: str, size: int = 12, anchor: str = "middle", turn: str = "") -> str:
    place = f'transform="{turn}"' if turn else f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text {place} font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
