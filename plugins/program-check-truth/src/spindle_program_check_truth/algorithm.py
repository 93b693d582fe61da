"""The program `spindle check_truth`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Int, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle.report import Table
from spindle.table import ReflectionTable

from .comparison import Agreement, Matches, compare_intensities, match, observed_intensities
from .picture import draw_picture
from .truth import Truth, read_truth

__all__ = ["CheckTruth"]

KINDS = (
    ("sum", "Summed counts against expected photons"),
    ("prf", "Profile-fitted counts against expected photons"),
    ("scale", "Scaled intensities against true |F|^2"),
)


class CheckTruth(Program):
    """Compare processed reflections with the truth of a simulated set.

    Give the folder that `spindle simulate` wrote, or any of its images, and the reflections (indexed, refined,
    integrated or scaled): `spindle check_truth simulated scaled.refl scaled.expt`. Reflections are matched by their
    predicted positions, so the choice of axes does not matter. A ratio of 1 is an unbiased intensity, an rms z of 1 an
    honest sigma.
    """

    class Params(ParamsBase):
        """Comparison with the truth."""

        truth = PathParam(
            None, none=True, help="Folder with truth.json and truth.npz, when it is not given among the files."
        )
        lattice = Int(0, min=0, help="Which of several simulated lattices.", level=1)
        experiment = Int(0, min=0, help="Which experiment of the reflections.", level=1)
        n_shells = Int(10, min=1, max=100, help="Number of resolution shells.")

        class output(ParamsBase):
            """Files."""

            picture = Str("check_truth.svg", help="Picture of recovered against true intensities; empty for none.")
            log = Str("spindle.check_truth.log", help="Log file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Print tables and draw the picture."""
        if len(inputs.reflections) != 1:
            raise UserError(f"check_truth: needs one reflection file, got {len(inputs.reflections)}; e.g. scaled.refl")
        table = inputs.reflections[0]
        truth = read_truth(_truth_folder(inputs.files, params.truth), params.lattice)
        matches = match(table, truth, params.experiment)
        tables = [_overview(table, truth, matches, inputs.experiments, params.experiment)]
        result = ProgramResult(summary={row[0]: row[1] for row in tables[0].rows})
        compared = None
        for kind, title in KINDS:
            observed = observed_intensities(table, kind)
            if observed is None:
                continue
            found, sigma, true, d = _clean_pairs(observed, truth, matches, kind)
            if len(found) < 10 * params.n_shells:
                context.log.info("%s: only %d reflections, no table", title, len(found))
                continue
            agreement = compare_intensities(found, sigma, true, d, params.n_shells, fit_b=kind == "scale")
            tables.append(_shell_table(title, kind, agreement))
            result.summary[kind] = {name: _plain(value) for name, value in asdict(agreement).items()}
            compared = title, found, agreement.scale * true * np.exp(-0.5 * agreement.relative_b / d**2), agreement
        for one in tables:
            context.table(one)
        result.tables = tables
        if compared is not None and params.output.picture:
            title, found, true, agreement = compared
            svg = draw_picture(
                f"{title}: {agreement.n} reflections, CC {agreement.correlation:.5f}", found, true, agreement
            )
            result.files[params.output.picture] = lambda path: path.write_text(svg)
        return result


def _truth_folder(files: list[Path], given: Path | None) -> Path:
    """The folder with the truth, from the parameter, or from a folder, image or truth file among the inputs."""
    candidates = [given] if given is not None else [f if f.is_dir() else f.parent for f in files]
    if not candidates:
        raise UserError("check_truth: which set? give the folder that `spindle simulate` wrote, e.g. `simulated`")
    return Path(candidates[0])


def _overview(
    table: ReflectionTable, truth: Truth, matches: Matches, experiments: Experiments | None, number: int
) -> Table:
    """Recall, positions and cell."""
    observable = truth.observable()
    recall = np.isin(np.flatnonzero(observable), matches.truth_rows).mean()
    difference = table["xyzcal.px"][matches.rows] - truth.position[matches.truth_rows]
    rms = np.sqrt(np.mean(difference**2, axis=0))
    rows: list[list[Any]] = [
        ["Reflections with a place", matches.n_candidates],
        ["matched to the truth", len(matches.rows)],
        ["matched by place but with another index", matches.wrong_index],
        ["True reflections on live pixels during the sweep", int(observable.sum())],
        ["found of these (%)", round(100 * float(recall), 2)],
        ["Predicted - true x, y (px, rms)", f"{rms[0]:.4f} {rms[1]:.4f}"],
        ["Predicted - true rotation (images, rms)", f"{rms[2]:.4f}"],
        ["True hkl = M hkl, M", " ".join(f"{v + 0.0:g}" for v in matches.reindex.ravel())],
    ]
    if experiments is not None and number < len(experiments) and experiments[number].crystal is not None:
        crystal = experiments[number].crystal
        rows += [
            [
                "Cell (A, deg), in the true setting",
                " ".join(f"{v:.3f}" for v in _cell_in_true_setting(crystal.A, matches.reindex)),
            ],
            ["True cell", " ".join(f"{v:.3f}" for v in truth.models["cell"])],
            ["Space group", crystal.space_group.xhm()],
            ["True space group", truth.group.xhm() + _hand(crystal.space_group, truth.group)],
        ]
    return Table("Against the truth", ["What", "Value"], rows, "truth_overview")


# Space groups that are each other's mirror image (International Tables A, 3.3.3).
MIRROR_IMAGES = {
    frozenset(pair)
    for pair in (
        (76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172), (178, 179),
        (180, 181), (212, 213),
    )
}  # fmt: skip


def _hand(found: gemmi.SpaceGroup, true: gemmi.SpaceGroup) -> str:
    """A remark where the two differ only in what a diffraction pattern shows hardly or not at all."""
    if frozenset((found.number, true.number)) in MIRROR_IMAGES:
        return " (its mirror image: intensities alone do not tell which)"
    if found.number != true.number and found.point_group_hm() == true.point_group_hm():
        return " (same point group: only axial reflections tell screw axes)"
    return ""


def _cell_in_true_setting(setting: np.ndarray, reindex: np.ndarray) -> np.ndarray:
    """Cell (6,) of a setting matrix after reindexing."""
    axes = np.linalg.inv(setting @ np.linalg.inv(reindex))  # rows a, b, c
    lengths = np.linalg.norm(axes, axis=1)
    unit = axes / lengths[:, None]
    angles = [np.degrees(np.arccos(np.clip(unit[i] @ unit[j], -1, 1))) for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.concatenate([lengths, angles])


def _clean_pairs(
    observed: tuple[np.ndarray, np.ndarray, np.ndarray], truth: Truth, matches: Matches, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Found intensity, sigma, true value and resolution (n,) of usable reflections away from bad pixels."""
    intensity, sigma, usable = observed
    keep = usable[matches.rows] & truth.at(truth.clean, truth.position[matches.truth_rows])
    rows, true_rows = matches.rows[keep], matches.truth_rows[keep]
    true = truth.intensity if kind == "scale" else truth.counts
    return intensity[rows], sigma[rows], true[true_rows], truth.d[true_rows]


def _shell_table(title: str, kind: str, a: Agreement) -> Table:
    headers = ["d (A)", "N", "<true>", "<I/sigma>", "found/true", "R", "<z>", "rms z"]
    rows = [
        [
            f"{a.d_max[k]:.2f} - {a.d_min[k]:.2f}",
            int(a.number[k]),
            f"{a.mean[k]:.1f}",
            f"{a.signal[k]:.2f}",
            f"{a.ratio[k]:.4f}",
            f"{a.r[k]:.4f}",
            f"{a.z_mean[k]:.2f}",
            f"{a.z_rms[k]:.2f}",
        ]
        for k in range(len(a.ratio))
    ]
    rows.append(["all", a.n, "", "", "", f"{a.r_factor:.4f}", "", f"{a.rms_z:.2f}"])
    relative = f", relative B {a.relative_b:.2f} A^2" if kind == "scale" else ""
    return Table(f"{title}: CC {a.correlation:.5f}, scale {a.scale:.4f}{relative}", headers, rows, f"truth_{kind}")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
