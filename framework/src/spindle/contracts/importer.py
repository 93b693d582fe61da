"""Contract of the ``importer`` slot: results of another program, as experiments and reflections.

Used by `spindle import` for a file that an importer recognises; entry-point group ``spindle.importer``. Every installed importer is asked,
as formats are; one that is named with ``importer.name=`` has to understand the file. An importer looks at the head of a file first, and
may read files beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from . import hookspec
from .checking import Checks, Fault, instance, items
from .format import check_answer, check_reason, no_reason

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

__all__ = ["Imported", "ImporterSpec"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file of another program says.

    Attributes
    ----------
    experiments : Experiments
        At least one.
    reflections : ReflectionTable or None
        Column ``id`` points into `experiments`, and every reflection has its ``flags``.
    notes : tuple of str
        What the user should know about the reading: what was left out, what was taken for granted.
    """

    experiments: Experiments
    reflections: ReflectionTable | None = None
    notes: tuple[str, ...] = ()


def check_imported(arguments: dict[str, Any], result: Any) -> Imported:
    """Refuse what has no experiments, or reflections that belong to none."""
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

    found: Imported = instance(result, Imported, "the result")
    n = len(instance(found.experiments, Experiments, "experiments"))
    if not n:
        raise Fault("there are no experiments, at least one expected")
    items(found.notes, str, "notes")
    if found.reflections is not None:
        table = instance(found.reflections, ReflectionTable, "reflections")
        for name in ("id", "flags"):
            if name not in table:
                raise Fault(f"the reflections have no column {name}")
        if len(table) and not -1 <= table["id"].min() <= table["id"].max() < n:
            raise Fault(
                f"id of the reflections is {table['id'].min()} to {table['id'].max()}; positions in the {n} experiments, or -1, expected"
            )
    return found


class ImporterSpec:
    """Hooks of an importer."""

    checks: ClassVar[Checks] = {"understand": check_answer, "refusal": check_reason, "import_results": check_imported}
    optional: ClassVar[frozenset[str]] = frozenset({"refusal"})
    defaults: ClassVar[dict[str, Any]] = {"refusal": no_reason}

    @hookspec(firstresult=True)
    def understand(self, path: Path, head: bytes) -> bool:  # type: ignore[empty-body]
        """Whether this importer reads the file. Must not raise, must be quick, must look at `head` and not only at the name.

        Parameters
        ----------
        path : Path
        head : bytes
            The first bytes of the file, decompressed; see `spindle.contracts.format.HEAD_SIZE`.
        """

    @hookspec(firstresult=True)
    def refusal(self, path: Path, head: bytes) -> str:  # type: ignore[empty-body]
        """Why `understand` said no, in a few words; optional."""

    @hookspec(firstresult=True)
    def import_results(self, path: Path) -> Imported:  # type: ignore[empty-body]
        """Read a file that `understand` accepted, and files beside it that it refers to.

        Raises
        ------
        spindle.errors.FileFormatError
            If the file cannot be used: file, what is wrong, remedy.
        """
