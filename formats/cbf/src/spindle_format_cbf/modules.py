"""How Pilatus and Eiger detectors are put together from modules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModuleLayout:
    """A grid of equal modules with gaps between them, pixels (fast, slow)."""

    module: tuple[int, int]
    gap: tuple[int, int]
    counts: tuple[int, int]

    def modules(self) -> list[tuple[int, int, int, int]]:
        """Rectangles (f0, s0, f1, s1), half open, of the modules; fast runs first."""
        pitch = (self.module[0] + self.gap[0], self.module[1] + self.gap[1])
        return [
            (i * pitch[0], j * pitch[1], i * pitch[0] + self.module[0], j * pitch[1] + self.module[1])
            for j in range(self.counts[1])
            for i in range(self.counts[0])
        ]

    def gaps(self) -> tuple[tuple[int, int, int, int], ...]:
        """Rectangles (f0, s0, f1, s1), half open, of the strips between modules."""
        pitch = (self.module[0] + self.gap[0], self.module[1] + self.gap[1])
        width = self.counts[0] * pitch[0] - self.gap[0]
        height = self.counts[1] * pitch[1] - self.gap[1]
        columns = [(i * pitch[0] - self.gap[0], 0, i * pitch[0], height) for i in range(1, self.counts[0])]
        rows = [(0, j * pitch[1] - self.gap[1], width, j * pitch[1]) for j in range(1, self.counts[1])]
        return tuple(columns + rows)


# Dectris user manuals: module and gap in pixels. Eiger 1 (1030 x 514) and Eiger 2 and XE (1028 x 512).
_PILATUS = (((487, 195), (7, 17)),)
_EIGER = (((1028, 512), (12, 38)), ((1030, 514), (10, 37)))


def module_layout(image_size: tuple[int, int], is_eiger: bool) -> ModuleLayout | None:
    """Layout of a detector of this size (fast, slow pixels); None when it is no whole number of modules."""
    for module, gap in _EIGER if is_eiger else _PILATUS:
        counts = []
        for axis in (0, 1):
            n, rest = divmod(image_size[axis] + gap[axis], module[axis] + gap[axis])
            if rest or n < 1:
                break
            counts.append(n)
        else:
            return ModuleLayout(module, gap, (counts[0], counts[1]))
    return None
