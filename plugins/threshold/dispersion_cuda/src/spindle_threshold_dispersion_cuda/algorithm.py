"""The threshold ``dispersion_cuda``."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.errors import UserError
from spindle.params import Auto
from spindle_lib_dispersion.params import DispersionParams, DispersionSettings

__all__ = ["DispersionCudaThreshold"]

_REMEDY = "Take threshold.algorithm=dispersion, which finds the same pixels on the processor"


class DispersionCudaThreshold(Algorithm):
    """The threshold ``dispersion`` on an NVIDIA graphics processor: the same pixels, the same parameters.

    Worth its while where reading images is faster than searching them. Each worker has a stream and memory of its own
    on the device, so that images are copied while others are searched.

    References
    ----------
    Winter, G. et al. (2018). Acta Cryst. D74, 85-97.
    """

    citations = (
        Citation(
            "Winter, G. & Waterman, D. G. & Parkhurst, J. M. & Brewster, A. S. & Gildea, R. J. & Gerstel, M. & Fuentes-Montero, L. & Vollmar, M. & Michels-Clark, T. & Young, I. D. & Sauter, N. K. & Evans, G.",
            2018,
            "DIALS: implementation and evaluation of a new integration package",
            "Acta Cryst. D",
            "74",
            "85-97",
            "10.1107/S2059798317017235",
        ),
    )

    scope = "dispersion"
    finds_more_with = "sigma_strong=2"
    gain_parameter = "gain"
    Params = DispersionParams
    # Threads of a block, fast and slow.
    block = (32, 8)

    def __init__(self, params: Any = None, context: Any = None) -> None:
        super().__init__(params, context)
        self._settings = DispersionSettings.of(self.params)
        self._local = threading.local()
        if reason := self.unavailable():
            raise UserError(f"threshold.algorithm=dispersion_cuda: {reason}")

    @classmethod
    def unavailable(cls) -> str:
        """Why there is no graphics processor to compute on."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from numba import cuda

                if cuda.is_available():
                    return ""
                cause = getattr(cuda, "cuda_error", lambda: None)()
        except Exception as error:  # a CUDA that is installed in part fails in many ways
            cause = error
        lines = [line.strip() for line in str(cause or "").splitlines() if line.strip()]
        detail = f" ({lines[0].rstrip('.:')})" if lines else ""
        return (
            f"no NVIDIA graphics processor can be used{detail}; it needs a driver and the extra "
            f"spindle-threshold-dispersion-cuda[cuda]. {_REMEDY}"
        )

    def _device(self, image: np.ndarray) -> tuple[Any, Any, Any, Any]:
        """Stream and memory (image, mask, result) of this thread on the device."""
        from numba import cuda

        key = (image.shape, image.dtype)
        if getattr(self._local, "key", None) != key:
            self._local.arrays = (
                cuda.stream(),
                cuda.device_array(image.shape, image.dtype),
                cuda.device_array(image.shape, np.uint8),
                cuda.device_array(image.shape, np.uint8),
            )
            self._local.key = key
            self._local.gains = None
        arrays: tuple[Any, Any, Any, Any] = self._local.arrays
        return arrays

    def _gains(self, gains: np.ndarray, stream: Any) -> Any:
        """The gains on the device; the same numbers are not copied again."""
        from numba import cuda

        known = self._local.gains
        if known is None or not np.array_equal(known[0], gains):
            self._local.gains = known = (gains.copy(), cuda.to_device(gains, stream=stream))
        return known[1]

    @hookimpl
    def wants_estimated_gain(self) -> bool:
        """With ``gain=Auto``."""
        return self.params.gain is Auto

    @hookimpl
    def find_strong(self, image: np.ndarray, mask: np.ndarray, gain: float | np.ndarray, out: np.ndarray) -> np.ndarray:
        """Find strong pixels; see `spindle.contracts.threshold.ThresholdSpec`."""
        try:
            return self._find(image, mask, gain, out)
        except Exception as error:
            if not type(error).__module__.startswith(("numba.cuda", "numba_cuda", "cuda.")):
                raise
            raise UserError(
                f"threshold.algorithm=dispersion_cuda: the graphics processor failed: {error}. {_REMEDY}"
            ) from error

    def _find(self, image: np.ndarray, mask: np.ndarray, gain: float | np.ndarray, out: np.ndarray) -> np.ndarray:
        from .kernels import mark_strong

        p, settings = self.params, self._settings
        stream, on_device, good, strong = self._device(image)
        on_device.copy_to_device(image, stream=stream)
        good.copy_to_device(mask.view(np.uint8), stream=stream)
        grid = tuple(-(-n // b) for n, b in zip(image.shape[::-1], self.block, strict=True))
        mark_strong[grid, self.block, stream](
            on_device, good, self._gains(settings.gains(gain), stream), *settings.kernel, float(p.sigma_background),
            float(p.sigma_strong), settings.min_local, settings.limit(image, mask),
            np.int64(0) if image.dtype == np.int32 else np.float64(0.0), strong,
        )  # fmt: skip
        strong.copy_to_host(out.view(np.uint8), stream=stream)
        stream.synchronize()
        return out
