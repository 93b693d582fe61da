"""Plain lists of intensities and input for SIR and JANA."""

from __future__ import annotations

from .algorithm import HklExporter

__all__ = ["HklExporter"]
