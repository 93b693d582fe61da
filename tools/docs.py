"""Fill the generated parts of hand-written pages: help texts, tables of slots and programs, files that prose quotes.

``python tools/docs.py`` writes what stands between ``<!-- begin: SOURCE -->`` and ``<!-- end -->`` in the Markdown files
of the repository; ``--check`` only tells which are not in step. A source is a command line (``spindle help background.glm``), a
file (``file: examples/third_party_plugin/pyproject.toml``) or a table that this module makes (``table: slots``).
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import re
import shlex
import sys
from pathlib import Path

from described import table
from rooms import in_order_of_use
from workspace import distributions

from spindle.cli import main as cli
from spindle.contracts import SLOTS
from spindle.params import Plugin, walk
from spindle.plugins import registry

ROOT = Path(__file__).resolve().parent.parent
BEGIN = re.compile(r"^ *<!-- begin: [^\n]*? -->$", re.MULTILINE)
PART = re.compile(
    r"^(?P<indent>[ ]*)<!-- begin: (?P<source>[^\n]*?) -->\n(?P<content>.*?)(?P<end>[ ]*<!-- end -->)",
    re.DOTALL | re.MULTILINE,
)
LANGUAGES = {".py": "python", ".toml": "toml", ".phil": "", ".yaml": "yaml"}


def first_line(file: Path) -> str:
    """Return the first sentence line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].removesuffix(".")


def output_of(command: str) -> str:
    """Return what a command of Spindle prints, as a block."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.main(shlex.split(command)[1:])
    if code:
        raise SystemExit(f"{command} ends with the exit code {code}")
    return f"```text\n{out.getvalue().strip()}\n```"


def quoted(name: str) -> str:
    """Return a file of the repository as a block."""
    file = ROOT / name
    return f"```{LANGUAGES[file.suffix]}\n{file.read_text(encoding='utf-8').strip()}\n```"


def choosers() -> dict[str, str]:
    """Return by which parameters a plugin of each slot is chosen, and of which programs unless they are many."""
    from reference import params_of, scopes_of_others

    found: dict[str, dict[str, list[str]]] = {}
    for info in (i for i in registry().infos if i.slot == "program" and i.name != "process"):
        params = params_of(info)
        for entry in walk(params, templates=True):
            if isinstance(entry.leaf, Plugin) and not entry.path.startswith(scopes_of_others(params)):
                found.setdefault(entry.leaf.slot, {}).setdefault(entry.path, []).append(info.name)
    words = {
        slot: "; ".join(
            f"`{path}`" + (f" of {', '.join(sorted(programs))}" if len(programs) < 4 else "")
            for path, programs in sorted(paths.items())
        )
        for slot, paths in found.items()
    }
    return words | {"program": "`spindle <name>`", "format": "the file itself, or " + words.get("format", "`format=`")}


def slots_table() -> str:
    """Return the table of slots: what is chosen by which parameter, and what a plugin of the slot does."""
    chosen = choosers()
    rows = []
    for slot, target in SLOTS.items():
        file = Path(importlib.import_module(target.partition(":")[0]).__file__ or "")
        contract = first_line(file).partition(": ")[2].partition(". ")[0]
        rows.append([f"`{slot}`", chosen.get(slot, ""), contract])
    return table(["slot", "chosen by", "contract"], rows)


def programs_table() -> str:
    """Return the table of programs."""
    summaries = {i.name: i.summary for i in registry().infos if i.slot == "program"}
    return table(["program", "what it does"], [[f"`{n}`", summaries[n]] for n in in_order_of_use(summaries)])


def rooms_of_the_host() -> str:
    """Return the packages of the host and the libraries, each with the first line of its docstring."""
    host = ROOT / "framework" / "src" / "spindle"
    packages = [*sorted(p.parent for p in host.glob("*/__init__.py"))]
    rows = [[f"`spindle.{p.name}`", first_line(p / "__init__.py")] for p in packages]
    libraries = [d for d in distributions() if d.folder.startswith("libraries/")]
    rows += [[f"`{d.package}`", first_line(ROOT / d.folder / "src" / d.package / "__init__.py")] for d in libraries]
    return table(["package", "what it holds"], rows)


def exit_codes() -> str:
    """Return the table of exit codes."""
    return table(["exit code", "meaning"], [[str(code), words] for code, words in cli.EXIT_CODES.items()])


def tools_table() -> str:
    """Return the table of the commands in tools/."""
    files = [f for f in sorted((ROOT / "tools").glob("*.py")) if "__main__" in f.read_text(encoding="utf-8")]
    return table(["command", "what it does"], [[f"`python tools/{f.name}`", first_line(f)] for f in files])


TABLES = {
    "slots": slots_table,
    "programs": programs_table,
    "rooms of the host": rooms_of_the_host,
    "exit codes": exit_codes,
    "tools": tools_table,
}


def content_of(source: str) -> str:
    """Return what stands between the markers of a source."""
    kind, _, what = source.partition(": ")
    if kind == "file":
        return quoted(what)
    if kind == "table" and what in TABLES:
        return TABLES[what]()
    if source.startswith("spindle "):
        return output_of(source)
    raise SystemExit(f"there is no source {source!r}; known are spindle ..., file: PATH and table: {', '.join(TABLES)}")


def filled(text: str) -> str:
    """Return a page with its generated parts as they should be."""
    begun = BEGIN.findall(text)
    if len(begun) != len(PART.findall(text)):
        raise SystemExit(f"a generated part has no end: one of {', '.join(b.strip() for b in begun)}")
    return PART.sub(
        lambda m: f"{m['indent']}<!-- begin: {m['source']} -->\n{content_of(m['source'])}\n{m['end']}", text
    )


def pages() -> list[Path]:
    """Return the Markdown files with generated parts."""
    files = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("libraries/*.md"),
        *ROOT.glob("*/*/README.md"),
        ROOT / "changes" / "README.md",
    ]
    return [f for f in sorted(set(files)) if BEGIN.search(f.read_text(encoding="utf-8"))]


def main() -> int:
    """Write or check; return the exit code."""
    texts = {page: page.read_text(encoding="utf-8") for page in pages()}
    stale = {page: new for page, text in texts.items() if (new := filled(text)) != text}
    for page, text in stale.items():
        if "--check" in sys.argv[1:]:
            print(f"{page.relative_to(ROOT).as_posix()} is not in step; run python tools/docs.py")
        else:
            page.write_text(text, encoding="utf-8")
            print(f"wrote {page.relative_to(ROOT).as_posix()}")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
