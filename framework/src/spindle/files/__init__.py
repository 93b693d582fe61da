"""Reading and writing of experiment (.expt) and reflection (.refl) files in DIALS's layout, and atomic output."""

from __future__ import annotations

from spindle.regular import read_regular, refuse_holes

from .atomic import atomic_write
from .experiments import experiments_from_dict, experiments_to_dict, read_experiments, write_experiments
from .maps import MAPS, is_map_file, read_map, read_mask, with_distortion, write_map, write_mask
from .models import crystal_to_dict
from .reflections import read_reflections, write_reflections
from .strict_json import json_content
from .templates import NumberedFiles, files_of_template

__all__ = [
    "MAPS",
    "NumberedFiles",
    "atomic_write",
    "crystal_to_dict",
    "experiments_from_dict",
    "experiments_to_dict",
    "files_of_template",
    "is_map_file",
    "json_content",
    "read_experiments",
    "read_map",
    "read_mask",
    "read_reflections",
    "read_regular",
    "refuse_holes",
    "with_distortion",
    "write_experiments",
    "write_map",
    "write_mask",
    "write_reflections",
]
