"""The attribution that the licences of collected pictures ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.sources import NAME, Source, read
from pipeline.trouble import Trouble

if TYPE_CHECKING:
    from pipeline.context import Context

UNTITLED = "Untitled"
NAMES = {"cc0": "CC0", "pdm": "Public Domain Mark"}
"""Of the licences whose name is not "CC" and their code."""


@dataclass(frozen=True)
class Credits:
    """Write processed/credits.txt: title, creator, licence and page of every collected picture."""

    def run(self, context: Context) -> int:
        raw = context.settings.common.raw
        tables = sorted(raw.rglob(NAME))
        if not tables:
            raise Trouble(
                f"{raw} holds no {NAME}: `make collect` writes one into each label's folder"
            )
        lines = [line for table in tables for line in _section(raw, table.parent)]
        path = context.processed / "credits.txt"
        files.write(path, "\n".join(lines) + "\n")
        unknown = sum("licence unknown" in line for line in lines)
        print(
            f"credits: {path}" + (f"; {unknown:,} pictures have no known licence" * bool(unknown))
        )
        return 0


def _section(raw: Path, folder: Path) -> list[str]:
    """A label's heading, and a line for each of its pictures that came from the web."""
    pictures = [source for source in read(folder) if source.file and source.address]
    return [f"{folder.relative_to(raw)}: {len(pictures):,} pictures", *map(_credit, pictures), ""]


def _credit(source: Source) -> str:
    code, _, version = source.licence.partition(" ")
    name = (
        NAMES.get(code, f"CC {code.upper()}") if code not in ("", "unknown") else "licence unknown"
    )
    terms = f"{name} {version}".strip() + (
        f" ({source.licence_address})" * bool(source.licence_address)
    )
    line = (
        f'{source.file}: "{source.title or UNTITLED}" by {source.creator or "an unknown creator"}, '
        f"{terms}, {source.page or source.address}"
    )
    return files.shown(line, but="")
