"""What every image format must do about files that are damaged, cut short or gone; part of `spindle.testing.format.FormatContract`."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.format import FormatOptions, ImageReader
from spindle.errors import FileFormatError, SpindleError
from spindle.images.compressed import read_head


class DamagedImages:
    """Tests with the fixtures `plugin`, `reader` and `image_file` of the contract.

    Attributes
    ----------
    has_checked_end : bool
        False for a format whose pixels cannot be seen to be cut short.
    options : FormatOptions
        What a user would have to give for `image_file`.
    """

    has_checked_end: ClassVar[bool] = True
    options: ClassVar[FormatOptions] = FormatOptions()

    def test_images_prepared_together_are_read_as_they_are_alone(
        self, plugin: Any, reader: ImageReader, image_file: Path
    ) -> None:
        """Files side by side, three of which are damaged, one cut short and one removed after it was opened."""
        if reader.n_images != 1:
            pytest.skip("only files with one image are prepared together")
        content = image_file.read_bytes()
        contents = [content, content, content[: len(content) * 3 // 4]]
        for place in range(3):
            changed = bytearray(content)
            changed[len(content) * 3 // 4 + place] ^= 1
            contents.append(bytes(changed))
        contents.append(content)
        paths = [image_file.with_name(f"{i}_{image_file.name}") for i in range(len(contents))]
        for path, data in zip(paths, contents, strict=True):
            path.write_bytes(data)

        def opened() -> list[ImageReader | None]:
            found: list[ImageReader | None] = []
            for path in paths:
                try:
                    found.append(plugin.open_image(path=path, head=read_head(path), options=self.options))
                except SpindleError:
                    found.append(None)
            return found

        def values(one: ImageReader | None) -> list[np.ndarray] | None:
            try:
                return None if one is None else one.read(0)
            except SpindleError:
                return None

        alone, together = opened(), opened()
        paths[1].unlink()
        expected = [values(one) for one in alone]
        present = [one for one in together if one is not None]
        present[0].prepare(present[1:])
        for path, one, wanted in zip(paths, together, expected, strict=True):
            found = values(one)
            assert (found is None) == (wanted is None), f"{path.name} is refused alone or together, not both"
            for a, b in zip(found or (), wanted or (), strict=True):
                np.testing.assert_array_equal(a, b, err_msg=path.name)

    def _last_of(self, plugin: Any, path: Path, index: int) -> list[np.ndarray]:
        """Image `index` of a file, or the last one, opened as the host does."""
        reader: ImageReader = plugin.open_image(path=path, head=read_head(path), options=self.options)
        index = min(index, reader.n_images - 1)
        reader.models(index)
        return reader.read(index)

    def test_a_file_cut_short_is_an_error_that_names_it(
        self, plugin: Any, reader: ImageReader, image_file: Path
    ) -> None:
        if not self.has_checked_end:
            pytest.skip("this format cannot tell that its pixels are cut short")
        content, last = image_file.read_bytes(), reader.n_images - 1
        short = image_file.with_name("short_" + image_file.name)
        short.write_bytes(content[: len(content) // 2])
        with pytest.raises(SpindleError, match="short_") as found:
            self._last_of(plugin, short, last)
        assert re.search("expected.*found|cut short", str(found.value)), found.value

    def test_a_file_cut_anywhere_is_read_or_a_clear_error(
        self, plugin: Any, reader: ImageReader, image_file: Path
    ) -> None:
        content, last = image_file.read_bytes(), reader.n_images - 1
        short = image_file.with_name("short_" + image_file.name)
        for part in (0.01, 0.1, 0.3, 0.7, 0.97):
            short.write_bytes(content[: max(int(part * len(content)), 1)])
            message = "short_"
            try:
                self._last_of(plugin, short, last)
            except SpindleError as error:
                message = str(error)
            assert "short_" in message

    @pytest.mark.filterwarnings("ignore")
    def test_damage_is_an_error_or_other_values_but_no_crash(self, plugin: Any, image_file: Path) -> None:
        content, rng = image_file.read_bytes(), np.random.default_rng(3)
        damaged = image_file.with_name("damaged_" + image_file.name)
        for _ in range(15):
            changed = bytearray(content)
            for place in rng.integers(0, min(len(changed), 4096), 3):
                changed[place] = rng.integers(0, 256)
            damaged.write_bytes(changed)
            with contextlib.suppress(SpindleError):
                reader = plugin.open_image(path=damaged, head=read_head(damaged), options=self.options)
                reader.models(0)
                reader.read(0)

    def test_a_missing_file_is_an_error_that_names_it(self, plugin: Any, image_file: Path, tmp_path: Path) -> None:
        gone = tmp_path / "gone" / image_file.name
        with pytest.raises(FileFormatError, match="gone"):
            plugin.open_image(path=gone, head=read_head(image_file), options=self.options).read(0)
