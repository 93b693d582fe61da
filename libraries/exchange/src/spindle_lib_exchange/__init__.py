"""What exporters and importers of other programs' files share: text rows, cells, frames, observations."""

from __future__ import annotations

from .crystals import bravais_lattice, cell_for_export, cell_of, laboratory_matrices, the_space_group
from .models import experiment_without_images
from .observations import HOLDS, Observations, experiment_name, observations, per_experiment
from .rows import decimals_that_fit, write_rows
from .table import observation_table

__all__ = [
    "HOLDS",
    "Observations",
    "bravais_lattice",
    "cell_for_export",
    "cell_of",
    "decimals_that_fit",
    "experiment_name",
    "experiment_without_images",
    "laboratory_matrices",
    "observation_table",
    "observations",
    "per_experiment",
    "the_space_group",
    "write_rows",
]
