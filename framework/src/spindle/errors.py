"""Errors that a user can do something about.

Everything derived from `UserError` ends a command with exit code 2, one message and no traceback. Other exceptions are
bugs.
"""

from __future__ import annotations


class SpindleError(Exception):
    """Root of the errors that Spindle raises on purpose."""


class UserError(SpindleError):
    """The input, the parameters or the machine are at fault; the message says what to do."""


class ParameterError(UserError):
    """A parameter is unknown, ambiguous or has a value that it cannot have."""


class FileFormatError(UserError):
    """A file is missing, damaged or of a kind that is not understood."""


class PluginError(UserError):
    """A plugin is unknown, broken, incompatible or installed twice."""


class ModelError(UserError):
    """Models are impossible or do not fit each other or the data."""


class ShapeError(SpindleError, ValueError):
    """An array does not have the shape that a function documents."""


class Cancelled(SpindleError):
    """The run was cancelled from outside."""
