"""The CUDA threshold against the one of the processor: on a device where there is one, and always in the simulator."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from spindle_threshold_dispersion import DispersionThreshold
from spindle_threshold_dispersion_cuda import DispersionCudaThreshold

from spindle.errors import PluginError, UserError
from spindle.params.resolve import make
from spindle.testing import make_context
from spindle.testing.threshold import image_with_spots

NO_DEVICE = DispersionCudaThreshold.unavailable()
CASES = [
    {},
    {"kernel_size": (1, 2), "min_local": 0},
    {"gain": 1.7, "sigma_background": 4.0, "sigma_strong": 2.0},
    {"global_threshold": 12.0, "min_local": 20},
]


def compare(shape):
    """Pixels that differ between the two thresholds, and strong ones, over several parameters and kinds of images."""
    rng = np.random.default_rng(2)
    image = rng.poisson(rng.uniform(0.5, 6.0, shape)).astype(np.int32)
    for y, x in rng.integers(2, np.array(shape) - 2, (8, 2)):
        image[y - 1 : y + 2, x - 1 : x + 2] += rng.poisson(30, (3, 3))
    image[5, 7] = 2**24 + 5
    mask = rng.random(shape) > 0.1
    image[~mask] = -1
    fractions = (image / rng.uniform(0.5, 2.0, shape)).astype(np.float32)
    gain_map = rng.uniform(0.5, 2.0, shape)
    differ = strong = 0
    for number, parameters in enumerate(CASES):
        params = make(DispersionThreshold.Params, **parameters)
        on_device, on_processor = DispersionCudaThreshold(params), DispersionThreshold(params)
        for pixels, gain in ((image, 1.0), (fractions, 1.0), (image, gain_map))[: 1 if number else 3]:
            found = on_device.find_strong(pixels, mask, gain, np.ones(shape, np.bool_))
            true = on_processor.find_strong(pixels, mask, gain, np.ones(shape, np.bool_))
            differ += int(np.count_nonzero(found != true))
            strong += int(np.count_nonzero(true))
    return differ, strong


@pytest.mark.skipif(bool(NO_DEVICE), reason=NO_DEVICE)
def test_device_finds_the_same_pixels():
    differ, strong = compare((300, 400))
    assert differ == 0
    assert strong > 100


@pytest.mark.skipif(bool(NO_DEVICE), reason=NO_DEVICE)
def test_images_of_other_sizes_and_gains_may_follow():
    threshold, other = DispersionCudaThreshold(), DispersionThreshold()
    for shape, gain in (((60, 80), 1.0), ((60, 80), 2.0), ((90, 31), 2.0)):
        image, mask, _ = image_with_spots(shape, n_spots=3)
        assert np.array_equal(
            threshold.find_strong(image, mask, gain, np.empty(shape, np.bool_)),
            other.find_strong(image, mask, gain, np.empty(shape, np.bool_)),
        )


def test_simulated_device_finds_the_same_pixels():
    # numba's simulator runs the very kernel in Python, one thread per pixel: the image is tiny.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_threshold_dispersion_cuda as test\n"
        "test.DispersionCudaThreshold.block = (4, 4)\n"
        "print(*test.compare((14, 18)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    differ, strong = map(int, done.stdout.split())
    assert differ == 0
    assert strong > 20


def test_kernel_compiles_for_devices():
    # Needs NVIDIA's compiler library (the wheel nvidia-cuda-nvcc-cu12 or a toolkit, found by CUDA_HOME), but no device.
    from numba import cuda, types
    from numba.cuda.cudadrv import nvvm
    from spindle_threshold_dispersion_cuda.kernels import mark_strong

    try:
        nvvm.NVVM()
    except Exception as error:
        pytest.skip(f"no NVVM library: {str(error).splitlines()[0]}")
    for pixel, total in ((types.int32, types.int64), (types.float32, types.float64)):
        integer, real, byte = types.int64, types.float64, types.uint8
        signature = (
            pixel[:, ::1], byte[:, ::1], real[:, ::1], integer, integer, real, real, integer, real, total, byte[:, ::1],
        )  # fmt: skip
        code, _ = cuda.compile_ptx(mark_strong.py_func, signature, cc=(8, 0))
        assert ".entry" in code


@pytest.mark.skipif(not NO_DEVICE, reason="this machine has a device")
def test_without_a_device_the_error_says_why_and_what_to_do():
    words = r"no NVIDIA graphics processor can be used.*threshold\.algorithm=dispersion"
    with pytest.raises(UserError, match=words):
        DispersionCudaThreshold()
    with pytest.raises(PluginError, match=r"'dispersion_cuda' cannot be used on this machine: " + words):
        make_context().algorithm("threshold", "dispersion_cuda")


@pytest.mark.skipif(not NO_DEVICE, reason="this machine has a device")
def test_check_of_plugins_names_the_reason(capsys):
    from spindle.cli.listing import plugins_command

    assert plugins_command(["--check", "dispersion_cuda"]) == 0
    assert "is fine, but cannot be used on this machine: no NVIDIA" in capsys.readouterr().out


def test_parameters_are_those_of_dispersion():
    assert DispersionCudaThreshold.Params is DispersionThreshold.Params
    assert DispersionCudaThreshold.scope == DispersionThreshold.scope
