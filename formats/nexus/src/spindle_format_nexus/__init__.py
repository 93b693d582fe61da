"""NeXus NXmx and Dectris Eiger master files."""

from __future__ import annotations

from .algorithm import NexusFormat

__all__ = ["NexusFormat"]
