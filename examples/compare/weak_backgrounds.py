"""Two backgrounds on weak data: does the choice matter, and where?

    python weak_backgrounds.py images/*.cbf

In weak data the background is most of what is measured: an error of 1 % of it may be more than the reflection. The script processes the
images once up to the refined models, integrates with two backgrounds, scales both, and looks at the weakest reflections: the offset between
the two is what one of them takes too much or too little, wherever their slope is one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import spindle

BACKGROUNDS = ["glm", "simple"]


def main(images: list[str]) -> spindle.ProgramResult:
    """Compare, print what matters, write compare.html."""
    result = spindle.compare(*images, choices={"background.algorithm": BACKGROUNDS})
    print(result.table("compare"))
    (pair,) = result.summary["pairs"]["counts"]
    low, high = pair["offset_interval"]
    print(
        f"{pair['second']} less {pair['first']}: {pair['offset']:.2f} counts in every reflection (95 %: {low:.2f} to {high:.2f})"
    )
    along = pair["along"]["signal"]
    weakest = along["mean"][0], along["error"][0]
    print(f"in the weakest reflections: {weakest[0]:.3f} +- {weakest[1]:.3f} sigma of a single measurement")
    if abs(low) < 0.05 and abs(high) < 0.05:
        print("the choice does not matter here")
    print(result.summary["ranking"]["rests_on"])
    result.write("compare.html")
    return result


if __name__ == "__main__":
    main([str(Path(name)) for name in sys.argv[1:]])
