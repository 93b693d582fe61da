"""The program `spindle find_spots_client`."""

from __future__ import annotations

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Auto, Choice, Float, Int, Params, PathParam, Str, UnrecordedParams
from spindle.report import json_text

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["FindSpotsClient"]

_COLUMNS = (
    ("spots", "n_spots_total", 7, "%d"),
    ("no ice", "n_spots_no_ice", 7, "%d"),
    ("d_min", "estimated_d_min", 7, "%.2f"),
    ("method 1", "d_min_distl_method_1", 9, "%.2f"),
    ("method 2", "d_min_distl_method_2", 9, "%.2f"),
    ("intensity", "total_intensity", 12, "%.0f"),
)


class FindSpotsClient(Program):
    """Ask a server to find the spots of images.

    The images are read by the server (spindle find_spots_server): their names must be valid there. Any parameter of
    spindle find_spots may be given, with index=True those of spindle index too; they are checked by the server. One line
    is printed for each image as its answer comes in.

        spindle find_spots_client /data/image_0001.cbf
        spindle find_spots_client host=beamline port=1701 /data/image_####.cbf min_spot_size=2 d_min=2
        spindle find_spots_client /data/scan_master.h5:1:100 index=True json=scan.json
        spindle find_spots_client stop
    """

    takes_words = True

    class Params(UnrecordedParams):
        """Ask a server to find the spots of images."""

        host = Str("127.0.0.1", help="Machine on which the server runs.")
        port = Int(1701, min=1, max=65535, help="Port on which it listens.")
        nproc = Int(
            Auto, min=1, max=4_096, none=True, help="Images asked for at a time; Auto takes the cores of this machine."
        )
        json = PathParam(
            None, output=True, help="Also write all answers, in the order of the images, to this JSON file."
        )
        style = Choice(("table", "xml", "json"), "table", help="How answers are printed: a line, XML or JSON.")
        patience = Float(60.0, min=0, units="s", help="How long to come again while the server is busy.", level=1)

        class mp(Params, level=3):
            """Nothing: nproc says how many images are asked for at a time."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Ask and print; see `spindle.contracts.program.ProgramSpec`."""
        from .connection import Connection
        from .images import image_names

        words = [*inputs.words, *map(str, inputs.files)]
        if words == ["stop"]:
            Connection(params.host, params.port, 0.0).stop()
            context.log.info("Stopped the server at port=%d of host=%s", params.port, params.host)
            return ProgramResult()
        parameters = [_pair(w) for w in words if _is_parameter(w)]
        images = image_names([w for w in words if not _is_parameter(w)])
        if not images:
            raise ParameterError(
                "find_spots_client: no images; give files, patterns or file:first:last, or the word stop"
            )
        answers = _Answers(images, parameters, params, context).all()
        return _result(images, answers, params, context)


def _is_parameter(word: str) -> bool:
    return bool(re.match(r"[A-Za-z_][A-Za-z0-9_.]*=", word)) and not Path(word).exists()


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


class _Answers:
    """Asks for all images, several at a time, and prints what comes in."""

    def __init__(
        self, images: list[str], parameters: list[tuple[str, str]], params: FindSpotsClient.Params, context: RunContext
    ) -> None:
        self.images, self.parameters, self.params, self.context = images, parameters, params, context
        self._local = threading.local()
        self._width = max(len(_short(name)) for name in images)

    def all(self) -> list[dict[str, Any]]:
        """Answers in the order of the images."""
        from spindle.execution import available_cores

        answers: list[dict[str, Any]] = [{} for _ in self.images]
        n_threads = available_cores() if self.params.nproc in (Auto, None) else self.params.nproc
        if self.params.style == "table":
            head = "".join(f"{title:>{width}}" for title, _, width, _ in _COLUMNS)
            self.context.log.info("%s%s", "image".ljust(self._width), head)
        pool = ThreadPoolExecutor(min(n_threads, len(self.images)))
        futures = {pool.submit(self._ask, name): i for i, name in enumerate(self.images)}
        try:
            for future in as_completed(futures):
                text, answers[futures[future]] = future.result()
                self.context.log.info("%s", text)
                self.context.check_cancelled()
        except BaseException:
            self.context.cancel()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
        return answers

    def _ask(self, image: str) -> tuple[str, dict[str, Any]]:
        """What to print about an image, and its answer."""
        from .connection import Connection, parsed

        self.context.check_cancelled()
        if not hasattr(self._local, "connection"):
            p = self.params
            self._local.connection = Connection(p.host, p.port, p.patience, self.context.check_cancelled)
        wants_xml = self.params.style == "xml"
        status, text = self._local.connection.analyse(
            image, self.parameters, "application/xml" if wants_xml else "application/json"
        )
        if wants_xml:
            content = {"image": image, "xml": text}
            if status != 200:
                content["error"] = re.sub(r"<[^>]*>\s*", "", text).strip()
            return text.rstrip("\n"), content
        content = parsed(text)
        content.setdefault("image", image)
        if status != 200:
            content.setdefault("error", f"the server answered with status {status}")
        return (json.dumps(content) if self.params.style == "json" else self._line(image, content)), content

    def _line(self, image: str, content: dict[str, Any]) -> str:
        name = _short(image).ljust(self._width)
        if "error" in content:
            return f"{name}  error: {content['error']}"
        cells = [_cell(content.get(key), width, form) for _, key, width, form in _COLUMNS]
        if "n_indexed" in content:
            cells.append(f"  indexed {content['n_indexed']} ({100 * content.get('fraction_indexed', 0.0):.0f} %)")
            cells += [f"  cell {' '.join(f'{v:.4g}' for v in lattice['unit_cell'])}"
                      for lattice in content.get("lattices", ()) if "unit_cell" in lattice]  # fmt: skip
        if "indexing_error" in content:
            cells.append(f"  not indexed: {content['indexing_error']}")
        return name + "".join(cells)


def _short(name: str) -> str:
    return Path(name).name


def _cell(value: Any, width: int, form: str) -> str:
    return f"{'-' if value is None or value == -1 else form % value:>{width}}"


def _result(
    images: list[str], answers: list[dict[str, Any]], params: FindSpotsClient.Params, context: RunContext
) -> ProgramResult:
    failed = [a for a in answers if "error" in a]
    if failed and len(failed) == len(images) and params.json is None:
        raise UserError(f"find_spots_client: no image could be analysed; the first: {failed[0]['error']}")
    if failed:
        context.log.warning("Warning: %d of %d images could not be analysed", len(failed), len(images))
    result = ProgramResult(summary={"n_images": len(images), "n_failed": len(failed), "answers": answers})
    if params.json is not None:

        def write(path: Path) -> None:
            path.write_text(json_text(answers, 1) + "\n")

        result.files[str(params.json)] = write
    return result
