"""Crystallography's nouns as frozen values: beam, detector, goniometer, scan, crystal, image set, experiment."""

from __future__ import annotations

from .beam import Beam
from .crystal import Crystal
from .detector import PARALLAX_CODES, Detector, Panel, PanelGeometry
from .distortion import Distortion
from .experiment import Experiment, Experiments
from .goniometer import Goniometer
from .imageset import ImageSet
from .scan import Scan
from .templates import Template, possible_templates, split_template

__all__ = [
    "PARALLAX_CODES",
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
    "possible_templates",
    "split_template",
]
