"""Numerical building blocks shared by several plugins."""
