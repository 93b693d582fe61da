"""What exporters and importers of other programs' files share: text rows, cells, frames, observations."""

from __future__ import annotations

from .crystals import bravais_lattice, cell_for_export, cell_of, laboratory_matrices, the_space_group
from .merged_rows import MERGED_NOTES, merged_rows
from .models import experiment_without_images
from .observations import HOLDS, Observations, experiment_name, observations, per_experiment
from .orientation import Orientation, orientation_from_angles
from .panels import FittedPanel, fit_panel
from .predicted import add_predicted, diffracted_beams
from .rows import decimals_that_fit, write_rows
from .scans import scan_of
from .table import observation_table

__all__ = [
    "HOLDS",
    "MERGED_NOTES",
    "FittedPanel",
    "Observations",
    "Orientation",
    "add_predicted",
    "bravais_lattice",
    "cell_for_export",
    "cell_of",
    "decimals_that_fit",
    "diffracted_beams",
    "experiment_name",
    "experiment_without_images",
    "fit_panel",
    "laboratory_matrices",
    "merged_rows",
    "observation_table",
    "observations",
    "orientation_from_angles",
    "per_experiment",
    "scan_of",
    "the_space_group",
    "write_rows",
]
