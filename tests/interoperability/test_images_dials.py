"""Every real image as dxtbx of DIALS 3.12 reads it: models field by field and all pixels. Skipped without DIALS.

What differs on purpose is in `ACCEPTED`, each with its reason, and is told image by image in
docs/explanation/images-and-dials.md. A difference that is not there fails, and so does one that no longer exists.
"""

from __future__ import annotations

import bz2
import hashlib
import json

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.images import open_image
from spindle.testing import shared_data
from spindle.testing.dials import dials_python
from spindle_lib_readers.testing.images import write_raxis

# Run by the Python of DIALS: models and a digest of the pixels of every file, as JSON.
READ = """
import hashlib, json, sys
import dxtbx
import numpy as np

def describe(name):
    image = dxtbx.load(name)
    beam, goniometer, scan = image.get_beam(), image.get_goniometer(), image.get_scan()
    raw = image.get_raw_data()
    raw = raw if isinstance(raw, tuple) else (raw,)
    return {
        "panels": [
            {"name": p.get_name(), "type": p.get_type(), "fast_axis": p.get_fast_axis(), "slow_axis": p.get_slow_axis(),
             "origin": p.get_origin(), "pixel_size": p.get_pixel_size(), "image_size": p.get_image_size(),
             "trusted_range": p.get_trusted_range(), "gain": p.get_gain(), "pedestal": p.get_pedestal(),
             "thickness": p.get_thickness(), "material": p.get_material(), "mu": p.get_mu(),
             "mask": [list(r) for r in p.to_dict()["mask"]], "raw_image_offset": p.get_raw_image_offset(),
             "parallax": p.to_dict()["px_mm_strategy"]["type"].startswith("Parallax")}
            for p in image.get_detector()],
        "groups": image.get_detector().to_dict().get("hierarchy"),
        "beam": beam.to_dict(),
        "goniometer": goniometer.to_dict() if goniometer else None,
        "scan": scan.to_dict() if scan else None,
        "pixels": [hashlib.blake2b(a.as_numpy_array().astype(np.float64).tobytes(), digest_size=8).hexdigest() for a in raw],
    }

found = []
for name in sys.argv[1:]:
    try:
        found.append(describe(name))
    except Exception as error:
        found.append({"error": f"{type(error).__name__}: {error}"})
print("JSON" + json.dumps(found))
"""

IMAGES = (
    "Cr8F8140k103.0026.bz2", "DLS_I03_smargon_0001.cbf.gz", "DLS_I23_P12M_thau_00001.cbf.gz", "F2K_Seb_Lyso0675.edf.bz2",
    "GE_aSI_detector_image_1529.bz2", "Gatan_float32_zero_array_001.dm4.gz", "TIMEPIX_SU_512-stdgoni_0001.img.bz2",
    "TIMEPIX_SU_516-stdgoni_0001.img.bz2", "b191_1_9_1.img.bz2", "b191_1_9_1_uncompressed.img.bz2",
    "corkcont2_H_0089.mccd.bz2", "cspad_idx-20130301060858401.cbf.bz2", "dlsnxs2cbf_therm_0001.cbf.gz", "example.mar2300.bz2",
    "i01f0001.kcd.bz2", "mo_Ge_1_m11_m5_139f_MP98p9_OmSc_600s_01_0001.sfrm.bz2",
    "mo_LaB6_2_m8_m3_friedel_129f_MP96p95_03_0001.sfrm.bz2", "oPPA_5grains_0001.tif.bz2",
    "rayonix340_hit-20181213155134902.cbf.bz2", "simtbx_FormatSMVJHSim_001.img.bz2", "somedata_0001.mccd.bz2",
)  # fmt: skip
SERIES = (
    "l_cysteine/l-cyst_01_00001.cbf.bz2", "l_cysteine/l-cyst_02_00001.cbf.bz2", "l_cysteine/l-cyst_04_00001.cbf.bz2",
    "lyso_small/lyso_small_0001.cbf.bz2", "nuclease/snc_newhead_00001.img.bz2", "thaumatin_grid/thau_3_2_0001.cbf.bz2",
)  # fmt: skip
RAXIS = "made_0001.osc"
FILES = (*(f"images/{name}" for name in IMAGES), *SERIES, RAXIS)

# DIALS reads these only when they are not compressed, and one only when its name has a number.
PLAIN = {
    "images/Cr8F8140k103.0026.bz2": "Cr8F8140k103.0026",
    "images/F2K_Seb_Lyso0675.edf.bz2": "F2K_Seb_Lyso0675.edf",
    "images/cspad_idx-20130301060858401.cbf.bz2": "cspad_idx-20130301060858401.cbf",
    "images/example.mar2300.bz2": "example_0001.mar2300",
    "images/rayonix340_hit-20181213155134902.cbf.bz2": "rayonix340_hit-20181213155134902.cbf",
}
# Files that DIALS 3.12 does not open, with a part of its message.
UNREAD = {
    "images/F2K_Seb_Lyso0675.edf.bz2": "could not convert string to float",
    "images/GE_aSI_detector_image_1529.bz2": "Could not find matching format",
    "images/b191_1_9_1.img.bz2": "Could not find matching format",
    "images/b191_1_9_1_uncompressed.img.bz2": "Could not find matching format",
    "images/corkcont2_H_0089.mccd.bz2": "cannot find distance in header",
    "images/i01f0001.kcd.bz2": "Could not find matching format",
    "images/oPPA_5grains_0001.tif.bz2": "Could not find matching format",
    "images/somedata_0001.mccd.bz2": "cannot find distance in header",
}
CUTOFF = "Count_cutoff itself is a good count (so in DIALS from 3.13)"
HEADER = "the header's value; DIALS puts 0.999"
TUBE = "unpolarised light of a sealed tube; DIALS puts 0.999"
PHOTON = {
    "polarization_fraction": TUBE,
    "angles": "the angle of the scan axis is the scan's own; DIALS has 180 deg less, and does not use it",
    "exposure_time": "CUMULAT; DIALS puts 1 s",
    "epoch": "CREATED; DIALS has none",
}
ACCEPTED = {
    "images/DLS_I03_smargon_0001.cbf.gz": {"trusted_range": CUTOFF, "polarization_fraction": HEADER},
    "images/DLS_I23_P12M_thau_00001.cbf.gz": {"trusted_range": "Count_cutoff 28575 of the header; DIALS puts 1000000"},
    "images/dlsnxs2cbf_therm_0001.cbf.gz": {"trusted_range": CUTOFF, "polarization_fraction": HEADER},
    "l_cysteine/l-cyst_01_00001.cbf.bz2": {"trusted_range": CUTOFF, "polarization_fraction": HEADER},
    "l_cysteine/l-cyst_02_00001.cbf.bz2": {"trusted_range": CUTOFF, "polarization_fraction": HEADER},
    "l_cysteine/l-cyst_04_00001.cbf.bz2": {"trusted_range": CUTOFF, "polarization_fraction": HEADER},
    "thaumatin_grid/thau_3_2_0001.cbf.bz2": {"trusted_range": CUTOFF, "polarization_fraction": HEADER},
    "lyso_small/lyso_small_0001.cbf.bz2": {"trusted_range": CUTOFF},
    "images/cspad_idx-20130301060858401.cbf.bz2": {
        "type": "the header says CS PAD; DIALS leaves the type empty",
        "parallax": "no sensor is known; DIALS sets a correction that needs one",
    },
    "images/rayonix340_hit-20181213155134902.cbf.bz2": {"type": "a Rayonix is a CCD; DIALS says unknown"},
    "images/simtbx_FormatSMVJHSim_001.img.bz2": {
        "origin": "DIALS_ORIGIN of the header; DIALS is a pixel off",
        "exposure_time": "TIME of the header; DIALS puts 1 s",
    },
    RAXIS: {
        "exposure_time": "minutes in the header; DIALS takes them for seconds",
        "trusted_range": "the largest value that the header's photomultiplier ratio allows; DIALS puts 1000000",
        "epoch": "DIALS reads a date that is written in one of several ways",
    },
    "nuclease/snc_newhead_00001.img.bz2": {
        "rotation_axis": "+x, about which the spots are indexed; DIALS turns it round"
    },
    "images/example.mar2300.bz2": {"epoch": "DATE of the header; DIALS has none"},
    "images/mo_Ge_1_m11_m5_139f_MP98p9_OmSc_600s_01_0001.sfrm.bz2": {
        "pixels": "the table of underflows is applied to 142 pixels, where DIALS has 64",
        **PHOTON,
    },
    "images/mo_LaB6_2_m8_m3_friedel_129f_MP96p95_03_0001.sfrm.bz2": PHOTON,
    "images/Gatan_float32_zero_array_001.dm4.gz": dict.fromkeys(
        ("origin", "gain", "trusted_range", "wavelength", "oscillation", "exposure_time"),
        "from the tags of the file; DIALS puts constants",
    ),
    "images/Cr8F8140k103.0026.bz2": dict.fromkeys(
        (
            "origin",
            "image_size",
            "trusted_range",
            "rotation_axis",
            "setting_rotation",
            "oscillation",
            "exposure_time",
            "epoch",
            "pixels",
            "axes",
        ),
        "format 86, which DIALS reads as another",
    ),
}


def made(folder):
    """An R-AXIS image; there is no real one."""
    raw = np.random.default_rng(1).integers(0, 3000, (800, 800))
    return write_raxis(folder / RAXIS, raw)


def stored(name, folder):
    """The file as DIALS can read it."""
    if name == RAXIS:
        return made(folder)
    path = shared_data() / name
    if name not in PLAIN:
        return path
    plain = folder / PLAIN[name]
    plain.write_bytes(bz2.decompress(path.read_bytes()))
    return plain


@pytest.fixture(scope="module")
def read_by_dials(tmp_path_factory):
    """What dxtbx says of each file, by name."""
    folder = tmp_path_factory.mktemp("images")
    files = [str(stored(name, folder)) for name in FILES]
    output = dials_python("-c", READ, *files, cwd=folder)
    return dict(zip(FILES, json.loads(output.partition("JSON")[2]), strict=True))


def same(ours, theirs, tolerance=1e-9):
    """Both read the same decimal numbers, and turn them by at most a few rotations."""
    if isinstance(ours, str) or ours is None or theirs is None:
        return ours == theirs
    return np.shape(ours) == np.shape(theirs) and np.allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def groups(node):
    """Frames of the groups of a tree below its root, in order, and the panels in each; none in a tree of one level."""
    found = []
    for child in (node or {}).get("children", []):
        if "panel" not in child:
            panels = [c["panel"] for c in child["children"] if "panel" in c]
            frame = [*child["fast_axis"], *child["slow_axis"], *child["origin"]]
            found += [(child["name"], panels, frame), *groups(child)]
    return found


def differences(reader, theirs):
    """Names of the fields that differ, with both values."""
    models = reader.models()
    found = {}

    def compare(name, ours, other, tolerance=1e-9):
        if not same(ours, other, tolerance):
            found.setdefault(name, (ours, other))

    compare("panels", len(models.detector), len(theirs["panels"]))
    for panel, other in zip(models.detector, theirs["panels"], strict=False):
        for name in ("name", "type", "fast_axis", "slow_axis", "origin", "pixel_size", "image_size", "gain", "pedestal",
                     "thickness", "material", "raw_image_offset"):  # fmt: skip
            compare(name, getattr(panel, name), other[name], 1e-6 if name == "gain" else 1e-9)
        compare("mu", panel.mu, other["mu"], 1e-6)
        compare("parallax", panel.parallax != "none", other["parallax"])
        compare("mask", [list(r) for r in panel.mask], other["mask"])
        # DIALS 3.12 excludes both ends.
        low, high = other["trusted_range"]
        compare("trusted_range", panel.trusted_range, (low + 1, high - 1))
    ours, other = groups(models.detector.hierarchy), groups(theirs["groups"])
    compare("groups", str([g[:2] for g in ours]), str([g[:2] for g in other]))
    compare("group frames", [g[2] for g in ours], [g[2] for g in other])
    beam, other = models.beam, theirs["beam"]
    for name in ("wavelength", "direction", "polarization_normal", "polarization_fraction", "flux"):
        compare(name, getattr(beam, name), other[name])
    goniometer, other = models.goniometer, theirs["goniometer"]
    compare("goniometer", None if goniometer is None else "", None if other is None else "")
    if goniometer is not None and other is not None:
        compare("axes", None if goniometer.axes is None else "", "" if "axes" in other else None)
        if "axes" in other and goniometer.axes is not None:
            compare("axes", goniometer.axes, other["axes"])
            compare("angles", goniometer.angles_deg, other["angles"])
            compare("scan_axis", goniometer.scan_axis, other["scan_axis"])
            compare("names", ",".join(goniometer.names), ",".join(other["names"]))
        elif "axes" not in other:
            compare("rotation_axis", goniometer.rotation_axis, other["rotation_axis"])
            compare("fixed_rotation", np.ravel(goniometer.fixed_rotation), other["fixed_rotation"])
            compare("setting_rotation", np.ravel(goniometer.setting_rotation), other["setting_rotation"])
    scan, other = models.scan, theirs["scan"]
    compare("scan", None if scan is None else "", None if other is None else "")
    if scan is not None and other is not None:
        compare("oscillation", scan.oscillation_deg, other["oscillation"])
        compare("exposure_time", models.exposure_time, other["exposure_time"][0])
        if abs(models.epoch - other["epochs"][0]) > 0.01:
            found["epoch"] = (models.epoch, other["epochs"][0])
    digests = [hashlib.blake2b(a.astype(np.float64).tobytes(), digest_size=8).hexdigest() for a in reader.read()]
    if digests != theirs["pixels"]:
        found["pixels"] = (digests[:2], theirs["pixels"][:2])
    return found


@pytest.mark.parametrize("name", [name for name in FILES if name not in UNREAD])
def test_image_is_read_as_in_dials(read_by_dials, tmp_path, name):
    theirs = read_by_dials[name]
    assert "error" not in theirs, theirs
    path = made(tmp_path) if name == RAXIS else shared_data() / name
    reader = open_image(path, options=FormatOptions(parallax="dials"))
    found = differences(reader, theirs)
    accepted = set(ACCEPTED.get(name, {}))
    assert not set(found) - accepted, {k: v for k, v in found.items() if k not in accepted}
    assert not accepted - set(found), f"accepted, but equal: {accepted - set(found)}"


@pytest.mark.parametrize("name", UNREAD)
def test_image_is_still_not_read_by_dials(read_by_dials, name):
    assert UNREAD[name] in read_by_dials[name].get("error", "it is read")
