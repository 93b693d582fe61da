"""Settings of the whole suite."""

from __future__ import annotations

from spindle.execution.compile_cache import prepare_compile_cache

prepare_compile_cache()  # before any test imports numba
