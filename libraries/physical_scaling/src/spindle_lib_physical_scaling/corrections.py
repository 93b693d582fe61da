"""Which corrections of a scaling model stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

from spindle.errors import ParameterError

__all__ = ["fixed_corrections"]


def fixed_corrections(fix: Sequence[str] | None, terms: Sequence[str], scope: str) -> set[str]:
    """The corrections that a parameter ``correction.fix`` names.

    Parameters
    ----------
    fix : sequence of str or None
        As given.
    terms : sequence of str
        Corrections that the model has.
    scope : str
        Scope of the model's parameters.

    Returns
    -------
    set of str

    Raises
    ------
    ParameterError
        If a name is none of the terms.

    Examples
    --------
    >>> sorted(fixed_corrections(["scale"], ("scale", "decay"), "KB"))
    ['scale']
    """
    fixed = set(fix or [])
    if unknown := fixed - set(terms):
        raise ParameterError(f"{scope}.correction.fix: {', '.join(sorted(unknown))} is none of {', '.join(terms)}")
    return fixed
