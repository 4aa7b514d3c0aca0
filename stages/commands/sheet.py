"""The command that draws the data set: crops by label, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.store import Place
from pipeline.trouble import Trouble

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class Sheet:
    """Draw a contact sheet of the data set, a row for each label: processed/sheet.png."""

    columns: int = 12
    """Pictures of each label."""

    def run(self, context: Context) -> int:
        from pipeline.pictures import decode, encode_png
        from stages.predict.drawing import contact_sheet

        rows: dict[str, list[Place]] = {}
        for sample in context.ledger.samples("split", context.processed):
            rows.setdefault(sample.label, []).append(sample.file)
        if not rows:
            raise Trouble(f"{context.processed} holds no data set yet: run `make split` first")
        pictures = {
            f"{label} ({len(paths):,})": [
                decode(path.read_bytes())
                for path in paths[:: max(1, len(paths) // self.columns)][: self.columns]
            ]
            for label, paths in sorted(rows.items())
        }
        path = context.processed / "sheet.png"
        files.write(path, encode_png(contact_sheet(pictures, self.columns)))
        print(f"sheet: {path}")
        return 0
