"""A section of `spindle report`: how much of each image's signal comes from very strong reflections."""

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.params import Float, Params
from spindle.report import Section, Table


class StrongShare(Algorithm):
    """Add to reports which part of the counts comes from strong reflections."""

    class Params(Params):
        min_i_over_sigma = Float(50.0, min=0, help="Reflections count as strong from here on.")

    @hookimpl
    def report_sections(self, reflections):
        title, key = "Strong reflections", "strong_share"
        if (
            reflections is None
            or "intensity.sum.value" not in reflections
            or "intensity.sum.variance" not in reflections
        ):
            return [Section.missing(title, key, "There are no summed intensities; spindle integrate makes them.")]
        value, variance = reflections["intensity.sum.value"], reflections["intensity.sum.variance"]
        positive = (value > 0) & (variance > 0)
        strong = positive & (value > self.params.min_i_over_sigma * np.sqrt(np.abs(variance)))
        total = value[positive].sum()
        share = float(value[strong].sum() / total) if total > 0 else 0.0
        row = [int(strong.sum()), int(positive.sum()), f"{100 * share:.1f}"]
        table = Table("", ["Strong", "Of", "% of the counts"], [row], "strong_share")
        mood = "good" if share < 0.9 else "doubtful"
        return [
            Section(
                title,
                key,
                remarks=[(mood, f"{100 * share:.0f} % of all counts are in strong reflections.")],
                tables=[table],
            )
        ]
