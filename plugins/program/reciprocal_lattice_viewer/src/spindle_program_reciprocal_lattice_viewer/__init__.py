"""A page that shows spots and lattices in reciprocal space, to turn and zoom."""

from __future__ import annotations

from .program import ReciprocalLatticeViewer

__all__ = ["ReciprocalLatticeViewer"]
