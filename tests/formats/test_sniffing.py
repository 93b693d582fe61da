"""Exactly one format understands each file, and none minds junk, truncated or damaged files."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import SpindleError
from spindle.images import open_image
from spindle.images.compressed import read_head
from spindle.images.opening import _format
from spindle.plugins import registry
from spindle.testing import shared_data
from spindle_lib_readers.testing.electrons import write_mib, write_mrc, write_ser, write_tvips
from spindle_lib_readers.testing.images import (
    write_bruker,
    write_bytes,
    write_dm,
    write_dtrek,
    write_edf,
    write_ge,
    write_marccd,
    write_smv,
)
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf
from spindle_lib_readers.testing.nexus import write_nxmx

PIXELS = np.random.default_rng(3).integers(0, 4000, size=(48, 64)).astype(np.int32)
STACK = np.stack([PIXELS, PIXELS[::-1], PIXELS + 7])
# What a user would have to give for those that lack it.
GIVEN = FormatOptions(wavelength=0.0251, distance=1000.0, pixel_size=(0.05, 0.05))


def _tiff(path: Path) -> Path:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(path, PIXELS, description="# Pixel_size 1e-4 m x 1e-4 m")
    return path


def _png(path: Path) -> Path:
    pytest.importorskip("imageio.v3").imwrite(path, PIXELS.astype(np.uint16))
    return path


def _nexus(path: Path) -> Path:
    pytest.importorskip("h5py")
    return write_nxmx(path, STACK)


# Synthetic files: format and writer.
KINDS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "a_0001.cbf": ("cbf", lambda p: write_mini_cbf(p, PIXELS)),
    "b_0001.cbf.gz": ("cbf", lambda p: write_mini_cbf(p, PIXELS)),
    "a_0001.img": ("smv", lambda p: write_smv(p, PIXELS)),
    "a_0001.mccd": ("mar", lambda p: write_marccd(p, PIXELS)),
    "a_0001.sfrm": ("bruker", lambda p: write_bruker(p, PIXELS)),
    "a_0001.edf": ("edf", lambda p: write_edf(p, PIXELS)),
    "b_0001.edf": ("edf", lambda p: write_edf(p, PIXELS, frames=3)),
    "b_0001.img": ("rigaku", lambda p: write_dtrek(p, PIXELS)),
    "a_0001.tif": ("tiff", _tiff),
    "a_0001.png": ("imageio", _png),
    "a_0001.pgm": ("imageio", lambda p: write_bytes(p, b"P5 64 48 65535\n" + PIXELS.astype(">u2").tobytes())),
    "a_0001.ge2": ("fabio", lambda p: write_ge(p, PIXELS)),
    "a_master.h5": ("nexus", _nexus),
    "a_0001.dm3": ("dm", lambda p: write_dm(p, STACK.astype(np.uint16), 3)),
    "a_0001.dm4": ("dm", lambda p: write_dm(p, PIXELS)),
    "a.mrc": ("mrc", lambda p: write_mrc(p, STACK.astype(np.int16))),
    "b.mrcs": ("mrc", lambda p: write_mrc(p, STACK.astype(np.float32), ">")),
    "c.mrc": ("mrc", lambda p: write_mrc(p, STACK.astype(np.uint16), fei=[{"ht": 2e5, "alpha_tilt": 1.0}] * 3)),
    "d.mrc.bz2": ("mrc", lambda p: write_mrc(p, STACK.astype(np.uint16))),
    "a_1.ser": ("ser", lambda p: write_ser(p, STACK.astype(np.uint16))),
    "b_1.ser": ("ser", lambda p: write_ser(p, STACK.astype(np.float32), 0x0220)),
    "a_000.tvips": ("tvips", lambda p: write_tvips(p, STACK.astype(np.uint16))),
    "b_000.tvips": ("tvips", lambda p: write_tvips(p, STACK.astype(np.uint8), version=1)),
    "a.mib": ("mib", lambda p: write_mib(p, STACK)),
    "b.mib": ("mib", lambda p: write_mib(p, np.tile(STACK & 1, (1, 1, 4)), 1, raw=True)),
    "c.mib": ("mib", lambda p: write_mib(p, np.resize(STACK & 1, (1, 512, 512)), 1, "2x2", raw=True)),
}


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
    "DLS_I23_P12M_thau_00001.cbf.gz": "cbf",
    "corkcont2_H_0089.mccd.bz2": "mar",
    "cspad_idx-20130301060858401.cbf.bz2": "cbf",
    "dlsnxs2cbf_therm_0001.cbf.gz": "cbf",
    "rayonix340_hit-20181213155134902.cbf.bz2": "cbf",
    "example.mar2300.bz2": "mar",
    "i01f0001.kcd.bz2": "fabio",
    "mo_Ge_1_m11_m5_139f_MP98p9_OmSc_600s_01_0001.sfrm.bz2": "bruker",
    "mo_LaB6_2_m8_m3_friedel_129f_MP96p95_03_0001.sfrm.bz2": "bruker",
    "oPPA_5grains_0001.tif.bz2": "tiff",
    "simtbx_FormatSMVJHSim_001.img.bz2": "smv",
    "somedata_0001.mccd.bz2": "mar",
}


# Beginnings that formats look for, with as much after them as makes some look further.
MAGIC = [
    b"{\nHEADER_BYTES= 512;\nSIZE1=4;SIZE2=", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0", b"FORMAT :100",
    b"FORMAT :86 ", b"RAXIS", b"OD SAPPHIRE  3.0", b"OD SAPPHIRE  4.0", b"ADEPT", b"No", b"\xd2\x04\0\0",
    b"\0\0\x04\xd2", b"{\nDim_1 = 3; DataType =", b"{\nHEADER_BYTES= 4096;\nDETECTOR_NAMES=CCD_;", b"P5 ", b"P5\n# x\n3 ",
    b"BM", b"\x89PNG\r\n\x1a\n", b"\x89HDF\r\n\x1a\n", b"\0\0\0\3\0\0\0\x80\0\0\0\1\1\0", b"\0\0\0\4" + b"\0" * 11 + b"\1\1\0",
    b"###CBF: VERSION 1.5\n\ndata_x\n", b"_array_data.header_contents\n;\n# Detector: ", b"II\x97\x01\x10\x02\x22\x41\0\0",
    b"II\x97\x01\x20\x02\x22\x41\0\0", b"MQ1,000001,00384,01,0256,0256,U16,   1x1,", b"MQ1,1,99999999,", b"MQ1,1,384,01,0,0,R64,Nx0,",
    b"\0\1\0\0\2\0\0\0\5\0\0\0\4\0\0\0\x10\0\0\0", b"\1\0\0\0" * 52 + b"MAP DD\0\0", b"\0\0\0\1" * 52 + b"MAP \x11\x11\0\0",
    b"mar research".rjust(140), b"MMX".rjust(1031), b"#HiPic1.0.", b"IM\x40\0\x40\0", b"\\\0\x80\xc0", b"Esperanto Format 1",
]  # fmt: skip


def formats() -> dict[str, object]:
    return {name: _format(name) for name in registry().names("format")}


def understood_by(path: Path, head: bytes) -> list[str]:
    return [name for name, plugin in formats().items() if plugin.understand(path=path, head=head)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Synthetic files by name."""
    folder = tmp_path_factory.mktemp("kinds")
    return {name: write(folder / name) for name, (_, write) in KINDS.items()}


@pytest.mark.parametrize("name", EXPECTED)
def test_one_format_understands_each_file(name):
    path = shared_data("images") / name
    assert understood_by(path, read_head(path)) == [EXPECTED[name]]


def test_every_real_file_is_listed():
    assert {path.name for path in shared_data("images").iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", KINDS)
def test_one_format_understands_each_synthetic_file(written, name):
    path = written[name]
    assert understood_by(path, read_head(path)) == [KINDS[name][0]]


def test_every_format_has_a_synthetic_file():
    found = [i for i in registry().infos if i.slot == "format" and i.distribution.startswith("spindle-format-")]
    first_party = {info.name for info in found}
    assert first_party == {kind for kind, _ in KINDS.values()}


def damaged_heads(heads: list[bytes], each: int) -> list[bytes]:
    """Beginnings of files cut anywhere, with a few bytes changed, and the magic numbers before random bytes."""
    rng = np.random.default_rng(7)
    cases = [magic[:length] for magic in MAGIC for length in range(0, len(magic), 7)]
    cases += [magic + rng.bytes(int(rng.integers(0, 3000))) for magic in MAGIC for _ in range(12)]
    cases += [magic + bytes(int(rng.integers(0, 3000))) for magic in MAGIC for _ in range(3)]
    cases += [rng.bytes(int(rng.integers(0, 3000))) for _ in range(200)]
    cases += [
        rng.choice(list(b"\n\t =;{}_#,.0129aZ"), size=int(rng.integers(0, 3000))).astype(np.uint8).tobytes()
        for _ in range(100)
    ]
    for head in heads:
        for turn in range(each):
            cut = bytearray(head[: int(rng.integers(0, min(len(head), 4096 if turn % 2 else 65536)))])
            for _ in range(min(len(cut), turn % 6)):
                cut[int(rng.integers(len(cut)))] = int(rng.integers(256))
            cases.append(bytes(cut))
    return cases


def test_damaged_beginnings_are_judged_by_all_formats_without_raising(written):
    heads = [read_head(path) for path in written.values()]
    cases = damaged_heads(heads, 40)
    assert len(cases) >= 1000

    def judge(name: str) -> list[str]:
        plugin, wrong = _format(name), []
        for number, head in enumerate(cases):
            for path in (Path("anything_0001.dat"), Path("missing_001.tvips")):
                try:
                    answer = plugin.understand(path=path, head=head)
                    reason = plugin.refusal(path=path, head=head) if hasattr(plugin, "refusal") else ""
                except Exception as error:  # the test is about that
                    wrong.append(f"{name}: case {number} of {len(head)} bytes, {head[:40]!r}: {error!r}")
                else:
                    if answer not in (True, False) or not isinstance(reason, str):
                        wrong.append(f"{name}: case {number}: {answer!r}, {reason!r}")
        return wrong

    with ThreadPoolExecutor(1) as pool:  # a hanging format is an error here and not a test run without an end
        for name in formats():
            assert pool.submit(judge, name).result(timeout=300) == []


def test_real_files_cut_anywhere_are_judged_without_raising():
    heads = [read_head(path, 16384) for path in sorted(shared_data("images").iterdir())]
    for head in damaged_heads(heads, 20)[-20 * len(heads) :]:
        assert len(understood_by(Path("anything_0001.dat"), head)) <= 1


def test_damaged_beginnings_are_understood_by_one_format_at_most(written):
    for head in damaged_heads([read_head(path) for path in written.values()], 10):
        assert len(understood_by(Path("anything_0001.dat"), head)) <= 1, head[:60]


@pytest.mark.parametrize("name", KINDS)
def test_a_file_cut_anywhere_is_read_or_an_error_that_names_it(written, tmp_path, name):
    content = written[name].read_bytes()
    rng = np.random.default_rng(5)
    short = tmp_path / name
    for length in [1, 4, 100, len(content) - 1, *rng.integers(1, len(content), size=8)]:
        short.write_bytes(content[:length])
        message = name
        try:
            reader = open_image(short, options=GIVEN)
            for index in range(reader.n_images):
                reader.models(index)
                reader.read(index)
        except SpindleError as error:
            message = str(error)
        assert name in message, f"cut at byte {length} of {len(content)}"
        if 2 * length > len(content):  # within the pixels
            assert message == name or re.search("expected.*found|cut short at byte", message), message
