"""Which model a command uses."""

from __future__ import annotations

from pathlib import Path

from pipeline.trouble import Trouble


def resolve_model(model: Path | None, processed: Path) -> Path:
    """The model that was named, or the newest finished run of the processed folder.

    Raises Trouble where there is none.
    """
    return newest(processed / "runs") if model in (None, Path()) else model


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
