"""The public contract between the host and its plugins.

One module per slot holds a pluggy hook specification and the dataclasses that go in and come out. A plugin is a class
derived from `Algorithm` (or `Program`) whose methods are marked with `hookimpl`. An implementation may take fewer
arguments than the specification names, so a contract can grow without breaking anybody. What a specification may say beside its hooks:

checks
    Hook name to the function that looks at what comes back; see `spindle.contracts.checking`.
optional
    Names of hooks that a plugin may leave out.
defaults
    Hook name to the function that answers instead of a hook that was left out.
added
    Hook name to the values of arguments that a caller may leave out, because they came later than the hook.
declares
    Names of class attributes by which a plugin says what it needs and can do, each with the value of plugins that say nothing. Programs ask
    for them with ``handle.declared(name)``; the conformance kit tests what is declared.
changed
    Names of arguments that an implementation may write to.
"""

from __future__ import annotations

import pluggy

from .base import Algorithm, Program, ProgramInputs, ProgramResult
from .citation import Citation

PROJECT_NAME = "spindle"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)

# Slot name -> module and class of its hook specification. Read lazily: naming a slot imports nothing.
SLOTS: dict[str, str] = {
    "format": "spindle.contracts.format:FormatSpec",
    "threshold": "spindle.contracts.threshold:ThresholdSpec",
    "indexing": "spindle.contracts.indexing:IndexingSpec",
    "refiner": "spindle.contracts.refiner:RefinerSpec",
    "outlier": "spindle.contracts.outlier:OutlierSpec",
    "beam_position": "spindle.contracts.beam_position:BeamPositionSpec",
    "profile": "spindle.contracts.profile:ProfileSpec",
    "background": "spindle.contracts.background:BackgroundSpec",
    "centroid": "spindle.contracts.centroid:CentroidSpec",
    "absorption": "spindle.contracts.absorption:AbsorptionSpec",
    "scaling": "spindle.contracts.scaling:ScalingSpec",
    "error_model": "spindle.contracts.error_model:ErrorModelSpec",
    "exporter": "spindle.contracts.exporter:ExporterSpec",
    "importer": "spindle.contracts.importer:ImporterSpec",
    "executor": "spindle.contracts.executor:ExecutorSpec",
    "program": "spindle.contracts.program:ProgramSpec",
    "observer": "spindle.contracts.observer:ObserverSpec",
}

# Slot name -> number of its contract. A contract may grow by arguments, optional hooks and methods with a default; when plugins
# written for it would no longer work, its number goes up, and the host refuses those that name another.
CONTRACTS: dict[str, int] = dict.fromkeys(SLOTS, 1)

__all__ = [
    "CONTRACTS",
    "PROJECT_NAME",
    "SLOTS",
    "Algorithm",
    "Citation",
    "Program",
    "ProgramInputs",
    "ProgramResult",
    "hookimpl",
    "hookspec",
]
