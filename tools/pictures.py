"""Make the pictures of tutorials and how-tos, each by the command that stands on its page.

``python tools/pictures.py`` makes all of them into docs/images, ``python tools/pictures.py quartz report`` some; ``--into FOLDER`` elsewhere.
Data are simulated, or those of ``SPINDLE_SHARED_DATA`` (``../shared/data``). Pages are drawn by chromium, where there is one.
"""

from __future__ import annotations

import argparse
import glob
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from spindle.cli import main as cli
from spindle.testing import shared_data

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LYSOZYME = ("spindle simulate", "spindle import simulated/*.cbf", "spindle find_spots imported.expt")
LATTICES = (
    "spindle simulate lattices=2 n_images=30",
    "spindle import simulated/*.cbf",
    "spindle find_spots imported.expt",
    "spindle index imported.expt strong.refl max_lattices=2",
)
MICROSCOPE = "spindle simulate wavelength=0.0251 model=custom modules=1,1 image_size=400,400 pixel_size=0.055 distance=450 distance_error=-4.5"
MICROSCOPE += " divergence=0.001 mosaic_spread=0.1 unit_cell=8.1,9.7,13.2,90,101.3,90 space_group=P21 structure.d_min=0.9 b_factor=3"
MICROSCOPE += " goniometer.axis=0.82,0.57,0 start=-40 n_images=80 beam.drift=1 crystal.size=0.001,0.001,0.001 solvent=0 format=nexus"
SMALL = "wavelength=0.7 model=custom image_size=300,320 distance=35 structure.d_min=1 b_factor=4 mean_counts=600 mosaic_spread=0.08"
SMALL += " unit_cell=11,13,17,90,90,90 space_group=P212121"


@dataclass(frozen=True)
class Picture:
    """A picture of docs/images.

    Attributes
    ----------
    name : str
        Of its file, without ``.png``.
    page : str
        Which shows it, and has the command `draw`.
    before : tuple of str
        Commands that lead to what is drawn.
    draw : str
        The command that draws.
    made : str
        File that it makes: a picture, or a page.
    data : dict of str to str
        Names in the folder of the commands, and folders of shared data.
    crop : (left, top, right, bottom), optional
        Part that is shown, in pixels of what was made.
    window : (width, height)
        Of the browser that draws a page.
    width : int
        Largest, in pixels.
    colours : int
    """

    name: str
    page: str
    before: tuple[str, ...]
    draw: str
    made: str
    data: tuple[tuple[str, str], ...] = ()
    crop: tuple[int, int, int, int] | None = None
    window: tuple[int, int] = (900, 900)
    width: int = 560
    colours: int = 64

    @property
    def commands(self) -> tuple[str, ...]:
        """All, in their order."""
        return (*self.before, self.draw)


PICTURES = (
    Picture(
        "first-image", "tutorial/README.md", LYSOZYME[:1],
        "spindle export_bitmaps simulated/simulated_0001.cbf output.file=first.png brightness=30", "first.png",
        crop=(60, 240, 420, 619), colours=6,
    ),
    Picture(
        "spots-by-image", "tutorial/README.md", LYSOZYME, "spindle spot_counts_per_image imported.expt strong.refl plot=spots.png", "spots.png",
        colours=48,
    ),
    Picture(
        "two-lattices", "tutorial/several-lattices.md", LATTICES,
        "spindle stereographic_projection indexed.expt hkl=1,0,0 hkl=0,0,1 marker_size=25 plot.colours=blue,orange", "stereographic_projection.png",
        colours=48,
    ),
    Picture(
        "quartz-axes", "tutorial/quartz.md", (),
        "spindle stereographic_projection quartz_processed/integrated.expt hkl=1,0,0 hkl=1,0,1 frame=crystal marker_size=25 label_indices=True",
        "stereographic_projection.png", data=(("quartz_processed", "dials_processed/quartz_processed"),), colours=48,
    ),
    Picture(
        "l-cysteine", "tutorial/small-molecule.md", (),
        "spindle export_bitmaps images/l-cyst_01_00001.cbf.bz2 output.file=image.png binning=3 brightness=40",
        "image.png", data=(("images", "l_cysteine"),), crop=(0, 180, 420, 520), colours=6,
    ),
    Picture(
        "cells-tree", "how-to/many-crystals.md",
        tuple(f"spindle simulate {SMALL} n_images=12 seed={k} output.directory=crystal_{k}".replace("11,13,17", f"{10.97 + 0.02 * k:.2f},{13.02 - 0.01 * k:.2f},{17 + 0.4 * (k > 3)}")
              for k in range(1, 6))
        + tuple(f"spindle process crystal_{k}/*.cbf output.directory=set_{k} stop_after=refine" for k in range(1, 6)),
        "spindle cluster_unit_cell */refined.expt", "cluster_unit_cell.png", colours=16,
    ),
    Picture(
        "batch-page", "how-to/batch.md",
        tuple(f"spindle simulate {SMALL} n_images={n} seed={k} output.directory=visit/crystal_{k} {more}" for k, (n, more) in enumerate(((60, ""), (30, ""), (30, "mean_counts=2")), 1)),
        "spindle batch visit output.directory=processed", "processed/batch.html", window=(1100, 500), width=800, colours=48,
    ),
    Picture(
        "rotation-axis", "how-to/electron-diffraction.md", (MICROSCOPE, "spindle import simulated/simulated.nxs geometry.goniometer.axis=1,0,0", "spindle find_spots imported.expt"),
        "spindle find_rotation_axis imported.expt strong.refl", "find_rotation_axis.html", crop=(30, 100, 850, 530), window=(1000, 760), colours=32,
    ),
    Picture(
        "report-lights", "how-to/read-a-report.md", (f"spindle simulate {SMALL} n_images=60",),
        "spindle process simulated/*.cbf", "report.html", window=(1200, 800), width=800, colours=48,
    ),
    Picture(
        "where-data-end", "how-to/judge-a-run.md", (f"spindle simulate {SMALL} n_images=60 mean_counts=60", "spindle process simulated/*.cbf"),
        "spindle merge scaled.expt scaled.refl d_min=Auto", "spindle.merge.html", window=(1000, 760), width=760, colours=48,
    ),
    Picture(
        "spots-from-python", "tutorial/python.md", LYSOZYME[:1], "python examples/draw_spots.py simulated/*.cbf", "spots.png", width=420, colours=96,
    ),
)  # fmt: skip


def run(command: str) -> None:
    """Run a command in this folder; patterns are those of a shell."""
    program, *words = shlex.split(command)
    words = [found for word in words for found in (sorted(glob.glob(word)) if "*" in word else [word])]
    if program == "python":
        subprocess.run([sys.executable, ROOT / words[0], *words[1:]], check=True)
    elif cli.main([*words, "-q"]):
        raise SystemExit(f"{command} does not end well")


def is_page(made: str) -> bool:
    """Whether a browser draws it."""
    return made.endswith((".html", ".svg"))


def browser() -> str | None:
    """The browser that draws pages, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def screenshot(page: Path, window: tuple[int, int]) -> Path:
    """Draw a page in a window."""
    target = page.with_name(f"{page.name}.png")
    size = f"--window-size={window[0]},{window[1]}"
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [browser() or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}", size,
             "--virtual-time-budget=8000", f"--screenshot={target}", page.absolute().as_uri()],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    return target


def small(source: Path, picture: Picture) -> Image.Image:
    """A made picture as it goes into docs/images."""
    image = Image.open(source).convert("RGB")
    if picture.crop:
        image = image.crop(picture.crop)
    if image.width > picture.width:
        image = image.resize(
            (picture.width, round(image.height * picture.width / image.width)), Image.Resampling.LANCZOS
        )
    return image.quantize(picture.colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def make(picture: Picture, folder: Path, target: Path) -> None:
    """Make a picture, in a folder where its commands may have been run for another."""
    folder.mkdir(exist_ok=True)
    for name, data in picture.data:
        if not (folder / name).exists():
            (folder / name).symlink_to(shared_data(data))
    with chdir(folder):
        for command in picture.commands:
            done = Path(".done")
            known = done.read_text().splitlines() if done.exists() else []
            if command not in known:
                run(command)
                done.write_text("\n".join([*known, command]))
        made = Path(picture.made)
        image = small(screenshot(made, picture.window) if is_page(picture.made) else made, picture)
    image.save(target, optimize=True)
    print(f"{target}: {image.width} x {image.height}, {target.stat().st_size / 1000:.0f} kB")


def main(words: Sequence[str] | None = None) -> int:
    """Make those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="names of pictures; all by default")
    parser.add_argument("--into", type=Path, default=IMAGES, help="folder of the pictures")
    given = parser.parse_args(words)
    if unknown := set(given.names) - {p.name for p in PICTURES}:
        raise SystemExit(
            f"there is no picture {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PICTURES)}"
        )
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        for picture in PICTURES:
            if given.names and picture.name not in given.names:
                continue
            if is_page(picture.made) and browser() is None:
                print(f"{picture.name}: left out, no browser ({', '.join(BROWSERS)}) draws its page")
                continue
            # those that begin alike go on from what is there
            make(
                picture, Path(name) / str(abs(hash(picture.commands[0]))), given.into.resolve() / f"{picture.name}.png"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
