"""The parameter tree ``refinement.*`` of programs that index or compare lattices, where models stay constant."""

from __future__ import annotations

from spindle.params import Auto, Bool, Float, Int, Plugin

from .params import RefinementParams
from .varying_models import OF_VARYING_MODELS

__all__ = ["IndexingRefinementParams"]


class IndexingRefinementParams(RefinementParams):
    """Refinement of constant models."""

    class parameterisation(
        RefinementParams.parameterisation,
        unavailable={
            **dict.fromkeys(
                OF_VARYING_MODELS,
                "it acts on models that vary with the scan, and they are constant here; give it to spindle refine",
            ),
            **dict.fromkeys(
                ("detector.modules", "detector.n_modules"),
                "the modules stay where they are here; give it to spindle refine",
            ),
        },
    ):
        """Which models are refined and how they are expressed by parameters."""

        scan_varying = Bool(
            False,
            auto=True,
            unavailable={True: "models vary with the scan only in spindle refine, after indexing"},
            help="Let models vary smoothly with the scan; not done here.",
        )

    class reflections(RefinementParams.reflections):
        """Which reflections take part, and with which weights."""

        reflections_per_degree = Float(
            100,
            min=0,
            max=1e9,
            none=True,
            auto=True,
            level=1,
            help="Size of the working set; None takes all, Auto all up to one full turn and 100 per degree beyond.",
        )

        class outlier(RefinementParams.reflections.outlier):
            """Rejection of outliers by their residuals."""

            algorithm = Plugin(
                "outlier",
                default=Auto,
                auto=True,
                none=True,
                in_scope_if_auto=("tukey", "mcd", "sauter_poon"),
                help="How outliers are told. Auto: tukey for scans, sauter_poon for stills.",
            )
            nproc = Int(
                1,
                min=1,
                max=4096,
                auto=True,
                none=True,
                level=1,
                help="Threads over which the groups of reflections are spread.",
            )
