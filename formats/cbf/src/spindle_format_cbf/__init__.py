"""CBF images of Pilatus and Eiger detectors."""

from __future__ import annotations

from .algorithm import CbfFormat

__all__ = ["CbfFormat"]
