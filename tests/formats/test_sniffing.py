"""Exactly one format understands each real file, and none minds junk."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from spindle.images.compressed import read_head
from spindle.images.opening import _format
from spindle.plugins import registry
from spindle.testing import shared_data

EXPECTED = {
    "Cr8F8140k103.0026.bz2": "bruker",
    "DLS_I03_smargon_0001.cbf.gz": "cbf",
    "F2K_Seb_Lyso0675.edf.bz2": "edf",
    "GE_aSI_detector_image_1529.bz2": "fabio",
    "Gatan_float32_zero_array_001.dm4.gz": "dm",
    "TIMEPIX_SU_512-stdgoni_0001.img.bz2": "smv",
    "TIMEPIX_SU_516-stdgoni_0001.img.bz2": "smv",
    "b191_1_9_1.img.bz2": "rigaku",
    "b191_1_9_1_uncompressed.img.bz2": "rigaku",
    "corkcont2_H_0089.mccd.bz2": "mar",
    "example.mar2300.bz2": "mar",
    "i01f0001.kcd.bz2": "fabio",
    "mo_Ge_1_m11_m5_139f_MP98p9_OmSc_600s_01_0001.sfrm.bz2": "bruker",
    "mo_LaB6_2_m8_m3_friedel_129f_MP96p95_03_0001.sfrm.bz2": "bruker",
    "oPPA_5grains_0001.tif.bz2": "tiff",
    "simtbx_FormatSMVJHSim_001.img.bz2": "smv",
    "somedata_0001.mccd.bz2": "mar",
}


def formats() -> dict[str, object]:
    return {name: _format(name) for name in registry().names("format")}


@pytest.mark.parametrize("name", EXPECTED)
def test_one_format_understands_each_file(name):
    path = shared_data("images") / name
    head = read_head(path)
    assert [n for n, f in formats().items() if f.understand(path=path, head=head)] == [EXPECTED[name]]


def test_no_real_file_is_understood_twice():
    for path in sorted(shared_data("images").iterdir()):
        head = read_head(path)
        assert len([n for n, f in formats().items() if f.understand(path=path, head=head)]) <= 1, path.name


def test_truncated_and_damaged_heads_never_raise():
    rng = random.Random(7)
    heads = [b"{\nHEADER_BYTES= 512;\nSIZE1=4;SIZE2=", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"FORMAT :100", b"RAXIS",
             b"OD SAPPHIRE  3.0", b"ADEPT", b"No", b"\xd2\x04\0\0", b"{\nDim_1 = 3; DataType =", b"P5 ", b"BM",
             b"\x89PNG\r\n\x1a\n", b"\0\0\0\4"]  # fmt: skip
    cases = [h + rng.randbytes(rng.randrange(0, 3000)) for h in heads for _ in range(20)]
    cases += [rng.randbytes(rng.randrange(0, 3000)) for _ in range(300)]
    for path in sorted(shared_data("images").iterdir()):
        head = read_head(path, 16384)
        for _ in range(20):
            cut = bytearray(head[: rng.randrange(0, len(head))])
            for _ in range(min(len(cut), 5)):
                cut[rng.randrange(len(cut))] = rng.randrange(256)
            cases.append(bytes(cut))
    for name, plugin in formats().items():
        for head in cases:
            assert plugin.understand(path=Path("anything_0001.dat"), head=head) in (True, False), name
            if hasattr(plugin, "refusal"):
                assert isinstance(plugin.refusal(path=Path("anything_0001.dat"), head=head), str), name
