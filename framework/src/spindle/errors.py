"""Errors that end a run with one message for the user, and those that point at a mistake in a plugin."""

from __future__ import annotations


class SpindleError(Exception):
    """Root of all errors that Spindle raises on purpose."""


class UserError(SpindleError):
    """Something the user can mend; shown as one message without a traceback, exit code 2."""


class ParameterError(UserError):
    """A parameter that does not exist, is ambiguous or has an impossible value."""


class FileFormatError(UserError):
    """A file that is not what it should be: names file, place, found, expected and the remedy."""


class PluginError(UserError):
    """A plugin that is unknown, broken, incompatible or in conflict with another one."""


class ModelError(UserError):
    """An experimental model that is impossible or does not fit the data."""


class ShapeError(SpindleError, ValueError):
    """An array with the wrong shape or type given to a public function."""
