"""Reading and writing of experiment (.expt) and reflection (.refl) files in DIALS's layout, and atomic output."""

from __future__ import annotations

from .atomic import atomic_write
from .experiments import experiments_from_dict, experiments_to_dict, read_experiments, write_experiments
from .reflections import read_reflections, write_reflections
from .templates import NumberedFiles, files_of_template

__all__ = [
    "NumberedFiles",
    "atomic_write",
    "experiments_from_dict",
    "experiments_to_dict",
    "files_of_template",
    "read_experiments",
    "read_reflections",
    "write_experiments",
    "write_reflections",
]
