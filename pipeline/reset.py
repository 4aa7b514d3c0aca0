"""Empty the processed folder, after asking."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline import decisions
from pipeline.context import Context
from pipeline.folder_lock import hold
from pipeline.store import require_local
from pipeline.trouble import Trouble


@dataclass(frozen=True)
class Reset:
    """Empty the processed folder after asking; decisions by hand stay, raw is never touched."""

    yes: bool = False
    """Do not ask."""

    def run(self, context: Context) -> int:
        folder = require_local(context.processed, "reset")
        if not (folder / "ledger.sqlite").exists():
            raise Trouble(
                f"{folder} holds no ledger, so this program did not make it: nothing deleted"
            )
        with hold(folder):
            return self._empty(folder)

    def _empty(self, folder: Path) -> int:
        if not self.yes and not _agreed(f"Delete everything in {folder}, models too? [y/N] "):
            print("nothing deleted")
            return 0
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in (".lock", decisions.NAME):
                path.unlink()
        stays = f" except for {decisions.NAME}" if (folder / decisions.NAME).exists() else ""
        print(f"{folder} is empty{stays}")
        return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        raise Trouble("nobody to ask: give --yes to delete without asking") from None
