"""What a plugin is based on, for those who publish results that were made with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Citation"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A publication.

    Parameters
    ----------
    authors : str
        Family name first, ``Kabsch, W.``, joined by `` & ``.
    year : int
    title, journal, volume, pages : str
    doi : str
        Without the address of the resolver; may be empty.
    """

    authors: str
    year: int
    title: str
    journal: str
    volume: str
    pages: str
    doi: str = ""

    @property
    def key(self) -> str:
        """Family name of the first author, year and first letters of the title, as a key of BibTeX."""
        family = re.sub(r"[^A-Za-z]", "", self.authors.partition(",")[0]).lower()
        return f"{family}{self.year}{''.join(word[0].lower() for word in re.findall(r'[A-Za-z]+', self.title)[:3])}"

    def __str__(self) -> str:
        link = f" https://doi.org/{self.doi}" if self.doi else ""
        return f"{self.authors} ({self.year}). {self.title}. {self.journal} {self.volume}, {self.pages}.{link}"

    def bibtex(self) -> str:
        """Return the publication as an entry of a BibTeX file."""
        fields = {
            "author": self.authors.replace(" & ", " and "),
            "year": str(self.year),
            "title": f"{{{self.title}}}",
            "journal": self.journal,
            "volume": self.volume,
            "pages": self.pages.replace("-", "--"),
            "doi": self.doi,
        }
        lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
        return "\n".join([f"@article{{{self.key},", *lines, "}"])
