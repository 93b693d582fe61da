"""The comparison of algorithms and results, as a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .loading import Loaded
from .runner import run

if TYPE_CHECKING:
    from spindle.contracts import ProgramResult
    from spindle.models import Experiments

__all__ = ["compare"]


def compare(
    *given: Path | str | Experiments | Loaded | Any,
    choices: Mapping[str, Any] | None = None,
    results: Mapping[str, Path | str | Sequence[Path | str]] | Sequence[Path | str] = (),
    runners: Sequence[str] = (),
    **params: Any,
) -> ProgramResult:
    """Compare algorithms, settings, other programs and finished results on the same input; see ``spindle compare -h``.

    Parameters
    ----------
    *given
        Image files, .expt and .refl files, a file of runs (.toml), or objects: `Loaded`, Experiments and a ReflectionTable.
    choices : mapping of str to object, optional
        Settings of `spindle process`; a list has the values that are compared, a tuple is one value of several parts.
    results : mapping of name to file or files, or sequence of files
        Finished results; of .refl files also (reflections, experiments).
    runners : sequence of str
        Other programs, for example ``["dials"]``.
    **params
        Other parameters of ``spindle compare``, ``stop_after="index"`` for example.

    Returns
    -------
    ProgramResult
        Its tables by key: ``result.table("compare")``, "compare_truth", "compare_counts", "compare_scaled", "compare_common",
        "compare_cost", "compare_failed"; each has `to_arrays`, `to_pandas` and shows itself in a notebook. All numbers are in ``summary``,
        the page is written with ``result.write("compare.html")``.

    Raises
    ------
    UserError

    Examples
    --------
    >>> result = spindle.compare(*images, choices={"background.algorithm": ["glm", "simple"]})  # doctest: +SKIP
    >>> result.table("compare").to_pandas()  # doctest: +SKIP
    """
    from spindle.models import Experiments  # imports numba, which has to find its cache prepared

    experiments, reflections, files = None, None, []
    for one in given:
        if isinstance(one, Loaded):
            experiments, reflections = one.experiments, one.reflections
        elif isinstance(one, Experiments):
            experiments = one
        elif isinstance(one, str | Path):
            files.append(one)
        else:
            reflections = one
    words = [f"{name}={_text(v)}" for name, value in (choices or {}).items() for v in _values(value)]
    if isinstance(results, Mapping):
        texts = [f"{name}={_files(value)}" for name, value in results.items()]
    else:
        texts = [_files(value) for value in results]
    return run("compare", experiments, reflections, files, vary=words, results=texts, runners=tuple(runners), **params)


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _files(value: Any) -> str:
    return str(value) if isinstance(value, str | Path) else ",".join(map(str, value))
