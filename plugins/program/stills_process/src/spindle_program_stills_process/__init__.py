"""Stills in one command: images in, indexed and integrated crystals out."""

from __future__ import annotations

from .program import StillsProcess

__all__ = ["StillsProcess"]
