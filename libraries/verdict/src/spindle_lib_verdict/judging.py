"""From facts to lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .facts import Facts
from .limits import AMBER, GREEN, LIMITS, RED, Limit
from .lines import COLOURS, Line, Verdict

__all__ = ["judge"]

#: Data reach further than suggested where their limit is smaller by this factor.
BEYOND = 1.02


def judge(facts: Facts) -> Verdict:
    """Judge what is known.

    Parameters
    ----------
    facts : Facts

    Returns
    -------
    Verdict
        The worst lines first, those of one colour in the order of the steps.
    """
    lines = [line for rule in RULES for line in rule(facts)]
    if all(line.colour != RED for line in lines):  # else what the steps warn of is one of these
        lines += _problems(facts)
    return Verdict(tuple(sorted(lines, key=lambda line: -COLOURS.index(line.colour))))


def _line(limit: Limit, value: float, topic: str, said: str, reason: str, next_step: str) -> Line:
    """A line by limits; reason and remedy belong to amber and red ones."""
    colour = limit.colour(value)
    if colour == GREEN:
        return Line(GREEN, topic, said, value=value)
    return Line(colour, topic, said, reason, next_step, value, limit.red if colour == RED else limit.amber)


#: What to look at when a step could not be done.
LOOK = {
    "import": "spindle import -h tells how to give what headers lack",
    "find_spots": "look at images: spindle export_bitmaps imported.expt",
    "index": "look at images, spindle export_bitmaps imported.expt, and at the spots, spindle reciprocal_lattice_viewer imported.expt strong.refl",
}


def _failed(facts: Facts) -> Iterator[Line]:
    if facts.failed:
        step = facts.failed_step or ""
        is_done = step == "index" and facts.fraction_indexed is not None  # too few of the spots
        after = f"{step} could not be done, and nothing after it" if step else "nothing was done after this"
        after = "nothing was done after index" if is_done else after
        yield Line(
            RED, "run", facts.failed, after, LOOK.get(step, "mend what the message names, and go on with resume=True")
        )


def _images(facts: Facts) -> Iterator[Line]:
    n = facts.n_images
    if not n:
        return
    if left_out := facts.n_left_out_images or 0:
        named = (facts.left_out_images or ())[:3]
        more = f" and {left_out - len(named)} more" if named and left_out > len(named) else ""
        names = f": {', '.join(named)}{more}" if named else ""
        yield _line(
            LIMITS["left_out_fraction"], left_out / (n + left_out), "images",
            f"{left_out} of {n + left_out} images cannot be read and are left out{names}",
            "they are damaged or were copied in part, and leave gaps in the sweep",
            "copy the images again, and process all of them; the log of import says what is wrong with each",
        )  # fmt: skip
    if facts.n_lost_images is not None:
        names = " ".join(f"exclude_images={one}" for one in facts.lost_images or ())
        said = (
            f"{facts.n_lost_images} of {n} images have lost the beam"
            if facts.n_lost_images
            else "no image has lost the beam"
        )
        yield _line(
            LIMITS["lost_fraction"], facts.n_lost_images / n, "images", said,
            "their reflections are missing or weak, and scaling cannot mend that",
            f"spindle scale symmetrized.expt symmetrized.refl {names}".rstrip(),
        )  # fmt: skip
    if facts.n_blank_images is not None and facts.n_spots:
        said = f"{facts.n_blank_images} of {n} images are blank" if facts.n_blank_images else "no image is blank"
        yield _line(
            LIMITS["blank_fraction"], facts.n_blank_images / n, "images", said,
            "hardly any spot on them where others have many: the crystal left the beam, or there was none",
            "spindle detect_blanks imported.expt strong.refl",
        )  # fmt: skip


def _spots(facts: Facts) -> Iterator[Line]:
    if facts.n_spots == 0:
        yield Line(RED, "spots", "no spot was found", "the images are blank, or the threshold does not fit them",
                   "spindle export_bitmaps imported.expt", 0.0, 1.0)  # fmt: skip
    elif facts.ice_fraction is not None:
        part = facts.ice_fraction
        yield _line(
            LIMITS["ice_fraction"], part, "ice", f"{100 * part:.0f} % of the spots are of ice" if part >= 0.005 else "no spots of ice",
            "the rings of ice have more spots than the resolutions beside them",
            "spindle find_spots imported.expt ice_rings.filter=True",
        )  # fmt: skip


def _indexing(facts: Facts) -> Iterator[Line]:
    part = facts.fraction_indexed
    if part is not None:
        following = "spindle reciprocal_lattice_viewer indexed.expt indexed.refl"
        if facts.further_fraction is None or LIMITS["further_fraction"].colour(facts.further_fraction) != GREEN:
            following += ", and spindle index max_lattices=2"
        yield _line(
            LIMITS["fraction_indexed"], part, "indexing", f"{100 * part:.0f} % of the spots are indexed",
            "the lattice is wrong, there are several, the spots are of ice or noise, or the geometry is not that of the images",
            following,
        )  # fmt: skip
    n, further = facts.n_lattices, facts.further_fraction
    if further is not None and LIMITS["further_fraction"].colour(further) != GREEN:
        lattices = "one lattice was" if n in (1, None) else f"{n} lattices were"
        yield _line(
            LIMITS["further_fraction"], further, "lattices",
            f"{lattices} looked for, and a further one explains {100 * further:.0f} % of the spots",
            "reflections of the lattices lie on each other and disturb each other", "spindle index imported.expt strong.refl max_lattices=Auto",
        )  # fmt: skip
    elif n is not None:
        if n > 1:
            yield Line(AMBER, "lattices", f"{n} lattices", "reflections of the lattices lie on each other and disturb each other",
                       "spindle compare_orientation_matrices indexed.expt", float(n), 1.0)  # fmt: skip
        else:
            yield Line(GREEN, "lattices", "one lattice", value=float(n))


def _geometry(facts: Facts) -> Iterator[Line]:
    why = "the crystal slips, the lattice is wrong, or the geometry (axis, distance, moving stage) is not that of the images"
    following = "spindle plot_scan_varying_model refined.expt"
    if facts.rmsd_px is not None:
        said = f"spots lie within {facts.rmsd_px:.2f} pixels of their predicted places"
        yield _line(LIMITS["rmsd_px"], facts.rmsd_px, "geometry", said, why, following)
    if facts.rmsd_images is not None:
        line = _line(LIMITS["rmsd_images"], facts.rmsd_images, "geometry",
                     f"spots lie within {facts.rmsd_images:.2f} images of their predicted places", why, following)  # fmt: skip
        if line.colour != GREEN:
            yield line


def _symmetry(facts: Facts) -> Iterator[Line]:
    group = facts.space_group or "unknown"
    following = (
        "spindle symmetry integrated.expt integrated.refl laue_group=<the group where you know it, such as Pmmm>"
    )
    if facts.undecided:
        yield Line(RED, "symmetry", f"the Laue group is not decided, and the data are in {group}", facts.undecided, following,
                   facts.laue_group_probability, LIMITS["laue_group_probability"].red)  # fmt: skip
    elif facts.contradiction:
        yield Line(RED, "symmetry", f"the data contradict the space group {group} that was given", facts.contradiction,
                   "spindle symmetry integrated.expt integrated.refl laue_group=Auto")  # fmt: skip
    elif facts.laue_group_probability is not None:
        p = facts.laue_group_probability
        why = "another Laue group is likely as well"
        if facts.space_group_is_given:
            group, why = f"{group}, as given", "these data do not confirm the group that was given"
            following = (
                "spindle symmetry integrated.expt integrated.refl laue_group=Auto, and look at its table of Laue groups"
            )
        yield _line(LIMITS["laue_group_probability"], p, "symmetry", f"{group}, its Laue group with a probability of {p:.2f}", why, following)  # fmt: skip
    elif facts.space_group is not None:
        given = ", as given" if facts.space_group_is_given else ""
        yield Line(GREEN, "symmetry", f"{group}{given}")
    if facts.screw_axes and not facts.space_group_is_given and not facts.undecided:
        yield Line(AMBER, "symmetry", f"whether {group} has the right screw axes is not certain", facts.screw_axes,
                   "solve the structure in all groups of the table in spindle.symmetry.log, or measure these axes")  # fmt: skip


def _twinning(facts: Facts) -> Iterator[Line]:
    shown = "" if facts.mean_abs_l is None else f" (<|L|> = {facts.mean_abs_l:.3f}; single 0.5, perfect twin 0.375)"
    if facts.twin_law:
        part = facts.twin_fraction
        said = f"a twin by {facts.twin_law}" + ("" if part is None else f", fraction {part:.2f}") + shown
        yield Line(AMBER, "twin", said, "each intensity is a sum of two reflections",
                   f"refine the structure with the twin law {facts.twin_law}", part, LIMITS["twin_fraction"].amber)  # fmt: skip
    elif facts.is_twinned:
        yield Line(AMBER, "twin", "the intensities look twinned" + shown, "no law that the lattice allows shows it: the Laue group may be too high",
                   "spindle symmetry integrated.expt integrated.refl, and look at its table of Laue groups")  # fmt: skip
    elif facts.is_twinned is not None:
        yield Line(GREEN, "twin", "no sign of a twin" + shown)
    if facts.missed_centring:
        yield Line(AMBER, "symmetry", facts.missed_centring, "a centring was missed, or the cell is a multiple of the true one",
                   "spindle index imported.expt strong.refl unit_cell=<the smaller cell>")  # fmt: skip


def _signal(facts: Facts) -> Iterator[Line]:
    look = "look at the images and the indexing: spindle reciprocal_lattice_viewer indexed.expt indexed.refl"
    best = facts.best_i_over_sigma if facts.best_i_over_sigma is not None else facts.i_over_sigma
    if best is not None:
        overall = "" if facts.i_over_sigma is None else f" (overall {facts.i_over_sigma:.1f})"
        yield _line(LIMITS["best_i_over_sigma"], best, "signal", f"I/sigma {best:.1f} in the best shell{overall}",
                    "the intensities are hardly more than noise", look)  # fmt: skip
    cc, critical = facts.cc_half, facts.cc_half_critical
    if cc is not None:
        if critical is not None and cc <= critical:
            yield Line(
                RED, "agreement", f"CC1/2 {cc:.2f}", f"noise alone gives up to {critical:.2f}", look, cc, critical
            )
        else:
            yield _line(LIMITS["cc_half"], cc, "agreement", f"CC1/2 {cc:.3f}", "halves of the data do not agree", look)
    if sets := facts.unlike_sets or ():
        named = ", ".join(str(i) for i in sets[:8]) + (f" and {len(sets) - 8} more" if len(sets) > 8 else "")
        leave = f"exclude_datasets={','.join(str(i) for i in sorted(sets))}"
        yield Line(AMBER, "agreement", f"experiment{'s' * (len(sets) > 1)} {named} differ{'s' * (len(sets) == 1)} from all others",
                   "indexed in another way (spindle cosym), of another crystal form, damaged, or not diffracting",
                   f"spindle scale symmetrized.expt symmetrized.refl {leave}", float(len(sets)))  # fmt: skip
    if facts.r_meas_low is not None:
        r = facts.r_meas_low
        yield _line(LIMITS["r_meas_low"], r, "agreement", f"Rmeas {r:.3f} at low resolution",
                    "strong equivalents differ: the symmetry may be too high, crystals may differ, or images are damaged",
                    "spindle compute_delta_cchalf scaled.expt scaled.refl")  # fmt: skip


def _errors(facts: Facts) -> Iterator[Line]:
    following = "look at the scales of the images and the outliers in spindle.scale.html, and at the symmetry"
    if facts.largest_i_over_sigma is not None:
        value = facts.largest_i_over_sigma
        yield _line(LIMITS["largest_i_over_sigma"], value, "errors", f"strong reflections reach I/sigma {value:.0f}",
                    "equivalents of strong reflections differ by more than counting and scaling explain", following)  # fmt: skip
    if facts.sigma_factor is not None:
        line = _line(LIMITS["sigma_factor"], facts.sigma_factor, "errors",
                     f"the error model makes the sigmas of weak reflections {facts.sigma_factor:.1f} times larger",
                     "the sigmas of counting say nothing here: the reflections may not be where they are looked for", following)  # fmt: skip
        if line.colour != GREEN:
            yield line


def _completeness(facts: Facts) -> Iterator[Line]:
    beyond = (
        facts.d_min is not None and facts.suggested_d_min is not None and facts.suggested_d_min > BEYOND * facts.d_min
    )
    to = f" to {facts.suggested_d_min:.2f} A" if beyond and facts.good_completeness is not None else ""
    part = facts.good_completeness if to else facts.completeness
    if part is not None:
        yield _line(LIMITS["completeness"], part, "completeness", f"{100 * part:.1f} % complete{to}",
                    "reflections are missing: measure more of the rotation, or scale several sweeps or crystals together",
                    "spindle missing_reflections scaled.expt scaled.refl")  # fmt: skip
    n = facts.good_multiplicity if to and facts.good_multiplicity is not None else facts.multiplicity
    if n is not None:
        yield _line(LIMITS["multiplicity"], n, "completeness", f"each reflection is measured {n:.1f} times",
                    "errors and outliers cannot be told from so few equivalents", "measure more of the rotation, or other crystals")  # fmt: skip


def _resolution(facts: Facts) -> Iterator[Line]:
    d, suggested = facts.d_min, facts.suggested_d_min
    if d is None:
        return
    if suggested is not None and suggested > BEYOND * d:
        yield Line(AMBER, "resolution", f"the data go to {d:.2f} A, and are good to {suggested:.2f} A",
                   "beyond that the shells are noise or empty", f"spindle merge scaled.expt scaled.refl d_min={suggested:.2f}",
                   d, suggested)  # fmt: skip
    else:
        yield _line(LIMITS["d_min"], d, "resolution", f"resolution {d:.2f} A", "little detail will be seen",
                    "merge more crystals, or look for one that diffracts further")  # fmt: skip


def _damage(facts: Facts) -> Iterator[Line]:
    if facts.decay_b is not None:
        b = facts.decay_b
        said = (
            f"the B factor rises by {b:.1f} A^2 along the sweep"
            if b >= 0.5
            else "no loss of resolution along the sweep"
        )
        yield _line(LIMITS["decay_b"], b, "damage", said, "radiation damage: the last images are of another structure",
                    "spindle scale symmetrized.expt symmetrized.refl exclude_images=<experiment:first:last of the last images>")  # fmt: skip


def _problems(facts: Facts) -> Iterator[Line]:
    for said in facts.problems or ():
        yield Line(
            RED, "run", said, "the step itself says that these data should not be used", "look at the log of the step"
        )


RULES: tuple[Callable[[Facts], Iterator[Line]], ...] = (
    _failed, _images, _spots, _indexing, _geometry, _symmetry, _twinning, _signal, _errors, _completeness, _resolution, _damage,
)  # fmt: skip
