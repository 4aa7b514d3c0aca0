"""The attribution that the licences of collected pictures ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.sources import NAME, Source, read
from pipeline.store import require_local
from pipeline.trouble import Trouble

if TYPE_CHECKING:
    from pipeline.context import Context

UNTITLED = "Untitled"
UNKNOWN = "licence unknown"
NAMES = {"cc0": "CC0", "pdm": "Public Domain Mark"}
"""Of the licences whose name is not "CC" and their code."""


@dataclass(frozen=True)
class Credits:
    """Write processed/credits.txt: title, creator, licence and page of every collected picture."""

    def run(self, context: Context) -> int:
        raw = require_local(context.settings.common.raw, "credits")
        tables = sorted(raw.rglob(NAME))
        if not tables:
            raise Trouble(
                f"{raw} holds no {NAME}: `make collect` writes one into each label's folder"
            )
        lines = [line for table in tables for line in _section(raw, table.parent)]
        path = context.processed / "credits.txt"
        files.write(path, "\n".join(lines) + "\n")
        unknown = sum(UNKNOWN in line for line in lines)
        print(
            f"credits: {path}" + (f"; {unknown:,} pictures have no known licence" * bool(unknown))
        )
        return 0


def _section(raw: Path, folder: Path) -> list[str]:
    """A label's heading, and a line for each of its pictures that came from the web."""
    pictures = [source for source in read(folder) if source.file and source.address]
    return [f"{folder.relative_to(raw)}: {len(pictures):,} pictures", *map(_credit, pictures), ""]


def _credit(source: Source) -> str:
    creator = source.creator or "an unknown creator"
    terms = f"{_licence(source.licence)} {source.licence_address}".strip()
    about = f"{source.title or UNTITLED}, by {creator}, {terms}, {source.page or source.address}"
    return files.shown(f"{source.file}: {about}", but="")


def _licence(licence: str) -> str:
    """The licence's name by its code and version, such as "by-sa 4.0"."""
    code, _, version = licence.partition(" ")
    if code in ("", "unknown"):
        return UNKNOWN
    return f"{NAMES.get(code, f'CC {code.upper()}')} {version}".strip()
