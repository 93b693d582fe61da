"""Publications behind the analysis of symmetry."""

from __future__ import annotations

from spindle.contracts import Citation

CITATIONS = (
    Citation(
        "Evans, P. R.",
        2011,
        "An introduction to data reduction: space-group determination, scaling and intensity statistics",
        "Acta Cryst. D",
        "67",
        "282-292",
        "10.1107/S090744491003982X",
    ),
    Citation(
        "Padilla, J. E. & Yeates, T. O.",
        2003,
        "A statistic for local intensity differences: robustness to anisotropy and pseudo-centering and utility for detecting twinning",
        "Acta Cryst. D",
        "59",
        "1124-1130",
        "10.1107/S0907444903007947",
    ),
)
