"""Which model a command uses."""

from __future__ import annotations

from pathlib import Path

from pipeline.store import Address
from pipeline.trouble import Trouble
from pipeline.workbench import Workbench


def resolve_model(model: Path | None, workbench: Workbench) -> Path:
    """The model that was named, or the newest finished run of the processed folder.

    Raises Trouble where there is none.
    """
    return newest_run(workbench) if model in (None, Path()) else model


def newest_run(workbench: Workbench) -> Path:
    """The folder of the newest finished run, fetched if it lies in a store. Raises Trouble where
    there is none.
    """
    runs = workbench.folder / "runs"
    if isinstance(workbench.processed, Address):
        folder = runs / _newest_in_store(workbench.processed / "runs")
        workbench.fetch(folder)
        return folder
    return newest(runs)


def newest(runs: Path) -> Path:
    """The folder of the finished run whose best weights are newest; Trouble where there is none."""
    finished = [
        path for path in runs.glob("*/best.safetensors") if path.with_name("run.json").exists()
    ]
    if not finished:
        begun = next(runs.glob("*/best.safetensors"), None)
        hint = f" ({begun.parent} is unfinished: --model takes it all the same)" if begun else ""
        raise Trouble(f"{runs} holds no model: `make train` makes one, or give --model{hint}")
    return max(finished, key=lambda path: (path.stat().st_mtime_ns, path)).parent


def _newest_in_store(runs: Address) -> str:
    """The name of the newest finished run. Raises Trouble where there is none."""
    files = {entry.name: entry.modified for entry in runs.entries()}
    finished = [
        (files[name], run)
        for name in files
        if (run := name.removesuffix("/best.safetensors")) != name and f"{run}/run.json" in files
    ]
    if not finished:
        raise Trouble(f"{runs} holds no model: `make train` makes one, or give --model")
    return max(finished)[1]
