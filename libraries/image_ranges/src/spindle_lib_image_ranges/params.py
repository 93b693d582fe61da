"""Parameters by which programs leave images out, alike in all of them."""

from __future__ import annotations

from spindle.params import Int, Strings

__all__ = ["exclude_images", "exclude_images_multiple"]


def exclude_images(level: int = 1, what: str = "Images to leave out") -> Strings:
    """Make the parameter ``exclude_images``, whose values `excluded_images` reads.

    Parameters
    ----------
    level : int
        Of help.
    what : str
        What is left out, for the help text.
    """
    ranges = "one (7), first:last (3:5) or experiment:first:last (0:3:5), numbers of images, both included"
    return Strings(None, none=True, multiple=True, level=level, help=f"{what}: {ranges}; may be repeated.")


def exclude_images_multiple() -> Int:
    """Make the parameter ``exclude_images_multiple``."""
    return Int(
        None,
        min=2,
        max=10_000_000,
        none=True,
        level=2,
        help="Leave out every image whose number is a multiple of this.",
    )
