"""The client of DIALS with our server. Skipped without DIALS."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import spindle
from spindle.testing import shared_data
from spindle.testing.dials import dials
from spindle_lib_spots.image_quality import analyse_images


def test_the_client_of_dials_understands_our_answers(tmp_path):
    image = min(shared_data("lyso_small").glob("*_0001.cbf*"))

    def ask(*words: str) -> str:
        return dials("dials.find_spots_client", "host=127.0.0.1", f"port={port}", "nproc=1", *words, cwd=tmp_path)

    server = subprocess.Popen(
        [sys.executable, "-m", "spindle.cli.main", "find_spots_server", "port=None", "nproc=1", f"allow={image.parent}"],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = next(found[1] for line in server.stdout if (found := re.search(r"127\.0\.0\.1:(\d+)", line)))
        result = spindle.run("find_spots", files=[image], **{"spotfinder.filter.d_min": 2.0, "min_spot_size": 2})
        ((_, analysis),) = analyse_images(result.experiments, result.reflections)
        truth = analysis.of_image(0)
        assert ask(str(image), "min_spot_size=2", "d_min=2").split("\n") == [
            "<response>",
            f"<image>{image}</image>",
            f"<spot_count>{truth['n_spots_total']}</spot_count>",
            f"<spot_count_no_ice>{truth['n_spots_no_ice']}</spot_count_no_ice>",
            f"<d_min>{truth['estimated_d_min']:.2f}</d_min>",
            f"<d_min_method_1>{truth['d_min_distl_method_1']:.2f}</d_min_method_1>",
            f"<d_min_method_2>{truth['d_min_distl_method_2']:.2f}</d_min_method_2>",
            f"<total_intensity>{truth['total_intensity']:.0f}</total_intensity>",
            "</response>",
            "",
        ]
        assert "outside of the folders" in ask("/etc/passwd")
        assert "bogus is not a parameter" in ask(str(image), "bogus=1")
        found = dict(re.findall(r"<(\w+)>(.*)</\1>", ask(str(image), "index=True")))
        # The true cell is 78.9 78.9 37.95 90 90 90; from one image of half a degree it comes out to half a percent.
        lengths = sorted(float(v) for v in found["unit_cell"].split()[:3])
        assert lengths == pytest.approx([37.95, 78.9, 78.9], rel=5e-3)
        assert float(found["fraction_indexed"]) > 0.9
        ask("stop")
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.stdout.close()
