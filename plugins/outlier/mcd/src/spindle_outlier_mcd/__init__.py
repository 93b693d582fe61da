"""Reject spots far from the robust centre of the residuals, by the minimum covariance determinant."""

from __future__ import annotations

from .algorithm import McdOutlier

__all__ = ["McdOutlier"]
