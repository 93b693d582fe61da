"""The program `correlation_matrix`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Citation, Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.files import write_experiments, write_reflections
from spindle.params import Auto
from spindle.report import Table, json_text
from spindle_lib_data_set_correlations.coordinates import find_coordinates
from spindle_lib_data_set_correlations.pairs import correlations_of_pairs, weights_of
from spindle_lib_pages import text_writer
from spindle_lib_selection.parts import Parts, join

from .clusters import angle_distances, branches, correlation_distances, dense_clusters
from .outputs import MOST_ROWS, branch_table, dense_table, page, record
from .params import CorrelationParams
from .sets import ComparedSets, compared_sets


class CorrelationMatrix(Program):
    """Show which data sets are alike, and cluster them.

    Give scaled data sets, or sets that spindle cosym has brought to one indexing. The intensities of each pair are correlated;
    coordinates whose scalar products are the correlations separate random errors (short vectors) from systematic differences
    (angles). Data sets are grouped in trees, by correlation and by angle, and by the dense places among their coordinates.

        spindle correlation_matrix scaled.expt scaled.refl
        spindle correlation_matrix symmetrized.expt symmetrized.refl significant_clusters.output=True
    """

    citations = (
        Citation(
            "Diederichs, K.",
            2017,
            "Dissecting random and systematic differences between noisy composite data sets",
            "Acta Cryst. D",
            "73",
            "286-293",
            "10.1107/S2059798317000699",
        ),
    )

    takes_files = False
    needs_columns = {"miller_index": "spindle integrate writes it"}
    Params = CorrelationParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: CorrelationParams, context: Any) -> ProgramResult:
        """Correlate, place, group; see `spindle.contracts.program.ProgramSpec`."""
        if not inputs.experiments or not inputs.reflections:
            raise UserError(
                "correlation_matrix: give the experiments and reflections of several data sets: spindle correlation_matrix "
                "scaled.expt scaled.refl"
            )
        table = join(inputs.reflections)
        assert table is not None
        sets = compared_sets(inputs.experiments, table, params, context)
        pairs = correlations_of_pairs(
            sets.observed, [np.eye(3, dtype=np.int64)], sets.rotations, context.executor, params.min_pairs or 1,
            params.cc_weights == "sigma",
        )  # fmt: skip
        cc = pairs.cc[0]
        if not np.isfinite(cc).any():
            raise UserError(
                f"correlation_matrix: no two of the {len(sets.names)} data sets share {params.min_pairs} reflections; take sets "
                "of more images, or set d_min=None and a smaller min_pairs"
            )
        if blind := [sets.names[i] for i in np.flatnonzero(~np.isfinite(cc).any(axis=1))]:
            context.log.warning(
                "Data set(s) %s share too few reflections with any other to be compared",
                ", ".join(map(str, blind[:20])),
            )
        weights = weights_of(pairs, None if params.weights == "None" else params.weights)
        assessment, limits = params.dimensionality_assessment, params.minimization
        found = find_coordinates(
            pairs, weights, None if params.dimensions in (Auto, None) else int(params.dimensions),
            np.random.default_rng(params.seed), limits.max_iterations, limits.max_calls,
            min(len(sets.names), assessment.maximum_dimensions or len(sets.names)), assessment.outlier_rejection,
        )  # fmt: skip
        vectors = found.vectors[0]
        context.log.info("The coordinates have %d dimensions", vectors.shape[1])
        method = params.hierarchical_clustering.linkage_method
        distances = {"cc": correlation_distances(cc), "cos": angle_distances(vectors)}
        trees = {key: branches(values, method, sets) for key, values in distances.items()}
        dense = dense_clusters(vectors, params.significant_clusters, cc)
        with np.errstate(invalid="ignore"):
            counts = np.isfinite(cc).sum(axis=1)
            mean_cc = np.where(counts > 0, np.nansum(cc, axis=1) / np.maximum(counts, 1), np.nan)
        tables = [
            dense_table(dense, found, sets, mean_cc),
            branch_table("Clusters by correlation", "cc_clusters", trees["cc"][1], sets),
            branch_table("Clusters by angle", "cos_clusters", trees["cos"][1], sets),
        ]
        if sets.left_out:
            tables.append(
                Table("Left out", ["Data set", "Reason"], [[i, r] for i, r in sets.left_out.items()], "left_out")
            )
        context.table(Table("Data sets", tables[0].headers, tables[0].rows[:MOST_ROWS], "data_sets"))
        for key, title in (("cc", "Clusters by correlation"), ("cos", "Clusters by angle")):
            context.table(branch_table(title, f"{key}_clusters", trees[key][1], sets, MOST_ROWS))
        n_noise = int(np.count_nonzero(dense.labels < 0))
        context.log.info(
            "Coordinates: %d cluster(s), %d data set(s) in none%s", dense.n_clusters, n_noise,
            f"; silhouette {dense.silhouette:.2f}" if np.isfinite(dense.silhouette) else "",
        )  # fmt: skip
        cosines = 1.0 - distances["cos"]
        identifiers = [inputs.experiments[i].identifier or str(i) for i in sets.names]
        files: dict[str, Callable[[Path], None]] = {}
        if params.output.json is not None:
            content = record(trees, cc, cosines, found, dense, sets, identifiers)
            files[str(params.output.json)] = text_writer(json_text(content, 1) + "\n")
        if params.output.html is not None:
            files[str(params.output.html)] = text_writer(page(trees, cc, cosines, found, dense, sets, tables))
        if params.significant_clusters.output:
            files |= _cluster_files(Parts(inputs.experiments, table), dense.labels, sets)
        summary: dict[str, Any] = {
            "n_data_sets": len(sets.names), "n_left_out": len(sets.left_out), "dimensions": vectors.shape[1],
            "n_clusters": dense.n_clusters, "n_in_none": n_noise,
            "mean_cc": round(float(np.nanmean(cc)), 3), "clusters": dense.labels.tolist(),
        }  # fmt: skip
        following = (
            "scale each cluster by itself: spindle scale cluster_0.expt cluster_0.refl"
            if params.significant_clusters.output and dense.n_clusters
            else "the page shows whether all belong together; significant_clusters.output=True writes each cluster"
        )
        return ProgramResult(files=files, summary=summary, next_step=following)


def _cluster_files(parts: Parts, labels: np.ndarray, sets: ComparedSets) -> dict[str, Callable[[Path], None]]:
    files: dict[str, Callable[[Path], None]] = {}
    for k in range(int(labels.max(initial=-1)) + 1):
        experiments, table = parts.take([sets.names[i] for i in np.flatnonzero(labels == k)])
        assert table is not None
        files[f"cluster_{k}.expt"] = partial(write_experiments, experiments)
        files[f"cluster_{k}.refl"] = partial(write_reflections, table)
    return files
