"""Where runs live: built beside, under their name once they are finished. Imports no torch."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import files
from pipeline.trouble import Usage

UNFINISHED, REPLACED = ".unfinished", ".replaced"
KEPT = (  # what a longer run goes on from
    *("best.safetensors", "best.json", "last.safetensors", "last.json"),
    *("state.pt", "metrics.jsonl", "tensorboard"),
)

Plan = dict[str, Any]
"""What the weights depend on: `settings`, `data` (its fingerprint), `weights` (a file's digest)."""


@dataclass(frozen=True)
class Run:
    """The run `folder` (processed/runs/<name>), which is built in `<name>.unfinished` beside it."""

    folder: Path

    @property
    def building(self) -> Path:
        return self.folder.with_name(self.folder.name + UNFINISHED)

    def finished(self) -> dict[str, Any]:
        """run.json of the finished run (`plan`, `best`, `counts`); empty where there is none."""
        if (self.building / "run.json").exists():  # a kill came before it took its name
            self.take_name()
        path = self.folder / "run.json"
        whole = path.exists() and (self.folder / "best.safetensors").exists()
        return dict(json.loads(path.read_text(encoding="utf-8"))) if whole else {}

    def open(self, plan: Plan, resume: bool) -> None:
        """Make the folder to build in. With `resume`, it is the unfinished run of this plan, or a
        copy of the finished one that shall have more epochs.

        Raises Usage, and changes nothing, where that run has other settings or data.
        """
        finished = self.folder if self.finished() else None
        begun = self.building if (self.building / "plan.json").exists() else None
        source = (begun or finished) if resume else None
        if source:
            _require_same(source, plan)
        elif resume:
            print(f"train: there is no run {self.folder.name} to go on with, so a new one begins")
        if source != self.building:
            shutil.rmtree(self.building, ignore_errors=True)
        self.building.mkdir(parents=True, exist_ok=True)
        if source == self.folder:
            _copy(self.folder, self.building)
        files.write(self.building / "plan.json", json.dumps(plan, indent=2))

    def take_name(self) -> None:
        """Put the finished run in the place of an older one, which is deleted only then."""
        replaced = self.folder.with_name(self.folder.name + REPLACED)
        shutil.rmtree(replaced, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(replaced)
        self.building.rename(self.folder)
        shutil.rmtree(replaced, ignore_errors=True)


def _require_same(source: Path, plan: Plan) -> None:
    begun = json.loads((source / "plan.json").read_text(encoding="utf-8"))
    before, now = begun["settings"], plan["settings"]
    changes = [
        f"{name} {before.get(name)} → {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
        and not (name == "epochs" and now["epochs"] > before["epochs"])
    ]
    changes += [
        f"other {name}" for name in ("data", "weights") if begun.get(name) != plan.get(name)
    ]
    if changes:
        raise Usage(
            f"--resume cannot go on with {source}: it has other settings or data "
            f"({', '.join(changes)}); give those, or leave out --resume to begin again"
        )
    if not (source / "state.pt").exists() and source.suffix != UNFINISHED:
        raise Usage(f"{source} keeps no state to go on from: leave out --resume to begin again")


def _copy(source: Path, target: Path) -> None:
    for name in KEPT:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name)
        elif path.exists():
            shutil.copy2(path, target / name)
