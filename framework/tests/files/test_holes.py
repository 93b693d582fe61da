"""A file of which most was never written is refused before it is read."""

from __future__ import annotations

import os

import pytest

from spindle.errors import FileFormatError
from spindle.files import refuse_holes
from spindle.regular import MOST_HOLES

TEBIBYTE = 2**40


@pytest.fixture
def sparse(tmp_path):
    """Make a file of some content with holes, or skip where the file system has none."""

    def make(content: bytes, after: bytes = b"", length: int = TEBIBYTE):
        path = tmp_path / "x.dat"
        with path.open("wb") as stream:
            stream.write(content)
            stream.truncate(length)
            if after:
                stream.seek(0, os.SEEK_END)
                stream.write(after)
        if not hasattr(os, "SEEK_HOLE") or path.stat().st_blocks * 512 >= path.stat().st_size:
            pytest.skip("the file system has no holes")
        return path

    return make


@pytest.mark.parametrize("after", [b"", b"!END_OF_DATA\n"], ids=["at the end", "within"])
def test_a_file_of_holes_is_refused(sparse, after):
    with pytest.raises(
        FileFormatError, match=rf"x\.dat: byte \d+: .*{MOST_HOLES} bytes that were never written.*write the file again"
    ):
        refuse_holes(sparse(b"!FORMAT=XDS_ASCII\n", after))


def test_zeros_that_were_left_out_are_no_damage(sparse, tmp_path):
    refuse_holes(sparse(b"MTZ " * 5000, b"END", 2**23))
    for n in (0, 5000):
        (tmp_path / "whole.mtz").write_bytes(bytes(n))
        refuse_holes(tmp_path / "whole.mtz")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(FileFormatError, match=r"none\.mtz: no such file; give another"):
        refuse_holes(tmp_path / "none.mtz", "give another")
