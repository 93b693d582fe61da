"""What is read from each real image, in one table; the user's geometry counts more than any header.

Where DIALS 3.12 reads a file, tests/interoperability/test_images_dials.py compares all of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import spindle
from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing import shared_data


class Image(NamedTuple):
    """An image of the corpus: mm, angstrom, degrees; beam centre in pixels of panel 0, on or off it.

    `lacks` names the parameters without which the file is an error.
    """

    file: str
    format: str
    panels: int
    size: tuple[int, int]
    wavelength: float
    distance: float
    centre: tuple[float, float]
    oscillation: tuple[float, float] | None
    total: int
    lacks: tuple[str, ...] = ()


W, D, P = "geometry.beam.wavelength", "geometry.detector.distance", "geometry.detector.panel.pixel_size"
# Sums of pixels: DIALS's where it reads the file (Ge: the header's NCOUNTS), fabio's for EDF, GE, KappaCCD, Oxford and TIFF.
CORPUS = [
    Image("images/Cr8F8140k103.0026.bz2", "bruker", 1, (512, 512), 0.5166, 104.999996, (260.610, 271.150), (-84.8000031, 0.2000046), 75855979),
    Image("images/DLS_I03_smargon_0001.cbf.gz", "cbf", 1, (2463, 2527), 0.97625, 291.47, (1229.302, 1200.465), (45.0, 0.1), 36200),
    Image("images/DLS_I23_P12M_thau_00001.cbf.gz", "cbf", 24, (2463, 195), 2.7552, 248.735554, (1080.0, -9935.679), (-210.0, 0.05), 1777082),
    Image("images/F2K_Seb_Lyso0675.edf.bz2", "edf", 1, (2048, 2048), 1.0, 100.0, (1024.0, 1024.0), (0.0, 0.0), 6309455385, (W, D, P)),
    Image("images/GE_aSI_detector_image_1529.bz2", "fabio", 1, (2048, 2048), 1.0, 100.0, (1024.0, 1024.0), (0.0, 0.0), 7688289661, (W, D, P)),
    Image("images/Gatan_float32_zero_array_001.dm4.gz", "dm", 1, (4096, 4096), 0.01968749, 488.382581, (2048.0, 2048.0), (-40.97, 0.0), 0),
    Image("images/TIMEPIX_SU_512-stdgoni_0001.img.bz2", "smv", 4, (254, 254), 0.0251, 531.85, (245.0, 239.0), (65.4, 0.23), 3220756),
    Image("images/TIMEPIX_SU_516-stdgoni_0001.img.bz2", "smv", 1, (516, 516), 0.0251, 531.85, (246.14, 240.35), (-65.4, 0.23), 3613798),
    Image("images/b191_1_9_1.img.bz2", "rigaku", 1, (512, 512), 0.71073, 49.82849, (397.784, 259.000), (6.0, 0.8), 6737309),
    Image("images/b191_1_9_1_uncompressed.img.bz2", "rigaku", 1, (512, 512), 0.71073, 49.82849, (397.784, 259.000), (6.0, 0.8), 6737309),
    Image("images/corkcont2_H_0089.mccd.bz2", "mar", 1, (2048, 2048), 1.03318, 100.0, (1043.089, 1043.089), (0.0, 0.0), -11487666, (D,)),
    Image("images/cspad_idx-20130301060858401.cbf.bz2", "cbf", 64, (194, 185), 1.272607, 130.106633, (32.031, 447.379), None, 32878926),
    Image("images/dlsnxs2cbf_therm_0001.cbf.gz", "cbf", 1, (4148, 4362), 0.98027, 213.96, (2216.06, 2300.41), (174.0, 0.25), -1210773),
    Image("images/example.mar2300.bz2", "mar", 1, (2300, 2300), 1.08, 240.0, (1150.0, 1150.0), (0.0, 1.0), 950724595),
    Image("images/i01f0001.kcd.bz2", "fabio", 1, (625, 576), 0.71073, 40.0, (312.5, 288.0), (0.0, 0.0), 70339067),
    Image("images/mo_Ge_1_m11_m5_139f_MP98p9_OmSc_600s_01_0001.sfrm.bz2", "bruker", 1, (768, 1024), 0.71073, 138.5683, (6927.081, 503.364), (158.0, 4.0), 149522431),
    Image("images/mo_LaB6_2_m8_m3_friedel_129f_MP96p95_03_0001.sfrm.bz2", "bruker", 1, (768, 1024), 0.71073, 128.5334, (8180.208, 503.364), (39.10001, 4.0), 69045855),
    Image("images/oPPA_5grains_0001.tif.bz2", "tiff", 1, (2048, 2048), 1.0, 100.0, (1024.0, 1024.0), (0.0, 0.0), 42099609, (W, D, P)),
    Image("images/rayonix340_hit-20181213155134902.cbf.bz2", "cbf", 1, (1920, 1920), 1.303757, 124.0, (960.0, 960.0), None, 3410756158),
    Image("images/simtbx_FormatSMVJHSim_001.img.bz2", "smv", 1, (1024, 1024), 0.02508, 1590.0, (512.0, 512.0), (0.0, 0.0), 2691223),
    Image("images/somedata_0001.mccd.bz2", "mar", 1, (1024, 1024), 1.03318, 100.0, (522.549, 522.549), (0.0, 0.0), 124122197, (D,)),
    Image("l_cysteine/l-cyst_02_00001.cbf.bz2", "cbf", 1, (1475, 1679), 0.6889, 160.0, (192.93, 865.0), (-145.0, 0.1), -143650),
    Image("l_cysteine/l-cyst_04_00001.cbf.bz2", "cbf", 1, (1475, 1679), 0.6889, 160.0, (730.0, 865.0), (0.0, 0.1), -126998),
    Image("lyso_small/lyso_small_0001.cbf.bz2", "cbf", 1, (487, 619), 1.0, 100.0, (246.87, 320.71), (0.0, 0.5), 405603),
    Image("nuclease/snc_newhead_00001.img.bz2", "smv", 1, (1024, 1024), 0.908, 57.43, (533.0, 500.25), (0.0, 0.0), 915797304),
    Image("thaumatin_grid/thau_3_2_0001.cbf.bz2", "cbf", 1, (2463, 2527), 0.96859, 351.0, (1261.61, 1306.96), (89.9997, 0.0), 20608414),
]  # fmt: skip
NAMES = [image.file.partition("/")[2] for image in CORPUS]
GIVEN = {W: 1.0, D: 100.0, P: (0.1, 0.1)}


def test_table_has_every_image():
    listed = {image.file for image in CORPUS}
    assert {f"images/{path.name}" for path in shared_data("images").iterdir()} <= listed


@pytest.mark.parametrize("image", CORPUS, ids=NAMES)
def test_real_image(image):
    given = {name.rpartition(".")[2]: GIVEN[name] for name in image.lacks}
    reader = open_image(shared_data() / image.file, options=FormatOptions(**given))
    models = reader.models()
    panel = models.detector[0]
    assert reader.format == image.format and len(models.detector) == image.panels and panel.image_size == image.size
    assert models.beam.wavelength == pytest.approx(image.wavelength, rel=1e-6)
    assert panel.distance == pytest.approx(image.distance, abs=1e-5)
    assert models.detector.beam_centre_px(models.beam.s0, 0) == pytest.approx(image.centre, abs=1e-3)
    if image.oscillation is None:
        assert models.goniometer is None and models.scan is None
    else:
        assert models.scan.oscillation_deg == pytest.approx(image.oscillation, abs=1e-5)
    assert sum(pixels.sum(dtype=np.float64) for pixels in reader.read()) == image.total


@pytest.mark.parametrize("image", [image for image in CORPUS if image.lacks], ids=lambda image: image.file)
def test_what_a_real_header_lacks_is_named(image):
    given: dict[str, object] = {}
    for _ in image.lacks:
        with pytest.raises(FileFormatError, match=r"set geometry\.") as caught:
            open_image(shared_data() / image.file, options=FormatOptions(**given)).models()
        (name,) = (name for name in image.lacks if f"set {name}=" in str(caught.value))
        given[name.rpartition(".")[2]] = GIVEN[name]
    assert len(given) == len(image.lacks)


@pytest.mark.parametrize("image", CORPUS, ids=NAMES)
@pytest.mark.sampled(3)
def test_what_the_user_gives_counts_more_than_the_header(image):
    wanted = {
        W: 1.2345,
        D: 77.0,
        "geometry.beam.direction": (0.0, 0.1, 1.0),
        "geometry.detector.panel.trusted_range": (3.0, 1234.0),
        "geometry.detector.panel.gain": 1.75,
        "geometry.goniometer.axis": (0.0, 0.6, 0.8),
        "geometry.scan.oscillation": (12.0, 0.75),
    }
    if image.panels == 1:
        wanted["geometry.detector.fast_slow_beam_centre"] = (210.5, 199.25)
    lacking = {P: GIVEN[P]} if P in image.lacks else {}
    (experiment,) = spindle.run("import", files=[shared_data() / image.file], **wanted, **lacking).experiments
    panel = experiment.detector[0]
    assert experiment.beam.wavelength == 1.2345
    assert experiment.beam.direction == pytest.approx(np.array([0.0, 0.1, 1.0]) / np.sqrt(1.01))
    assert panel.trusted_range == (3.0, 1234.0) and panel.gain == 1.75
    if image.panels == 1:
        assert panel.distance == pytest.approx(77.0)
        centre = experiment.detector.beam_centre_px(experiment.beam.s0, 0)
        assert centre == pytest.approx((210.5, 199.25), abs=1e-6)
    assert experiment.goniometer.rotation_axis == pytest.approx([0.0, 0.6, 0.8])
    assert experiment.scan.oscillation_deg == pytest.approx((12.0, 0.75))
    if panel.mu > 0:
        # The attenuation belongs to the wavelength that was given.
        header = open_image(shared_data() / image.file).models()
        assert panel.mu != pytest.approx(header.detector[0].mu, rel=1e-3)
