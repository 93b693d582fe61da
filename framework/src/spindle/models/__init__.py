"""Crystallography's nouns as frozen values: beam, detector, goniometer, scan, crystal, image set, experiment."""

from __future__ import annotations

from .beam import Beam
from .crystal import Crystal, cell_from_real_space, space_group_from_symbol
from .detector import PARALLAX_CODES, Detector, Panel, PanelGeometry
from .distortion import Distortion
from .experiment import Experiment, Experiments, derived_identifier
from .goniometer import Goniometer
from .imageset import ImageSet
from .scan import STILL_WIDTH_DEG, Scan
from .slicing import named_by_images, renamed, sliced
from .templates import Template, possible_templates, split_template

__all__ = [
    "PARALLAX_CODES",
    "STILL_WIDTH_DEG",
    "Beam",
    "Crystal",
    "Detector",
    "Distortion",
    "Experiment",
    "Experiments",
    "Goniometer",
    "ImageSet",
    "Panel",
    "PanelGeometry",
    "Scan",
    "Template",
    "cell_from_real_space",
    "derived_identifier",
    "named_by_images",
    "possible_templates",
    "renamed",
    "sliced",
    "space_group_from_symbol",
    "split_template",
]
