"""The files that earlier predictions wrote into a folder, known by the tables among them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from pipeline.files import HALF, output_name
from pipeline.tables import plain_text

CSV, JSONL = "predictions.csv", "predictions.jsonl"
LIVE = "live.mp4"
BEGINNING = ["file", "frame", "time", "label"]  # of the CSV's header
LINE = '{"file": '  # how a line of the JSONL begins


def video_name(key: str) -> str:
    """The name of a video's annotated copy."""
    return output_name(key).removesuffix(".jpg") + ".mp4"


def results_in(folder: Path) -> set[Path]:
    """The files in a folder that predictions wrote: tables, copies, half-written files.

    Copies are known by the tables beside them: without a table nothing is taken for a result.
    """
    tables = [
        files
        for beginning in ("", HALF)  # of a finished run, and of one that was killed
        for files in (_in_csv(folder / (beginning + CSV)), _in_jsonl(folder / (beginning + JSONL)))
        if files is not None
    ]
    if not tables:
        return set()
    names = {CSV, JSONL}.union(*map(_copies, set(chain.from_iterable(tables))))
    return {path for path in folder.iterdir() if path.name in names or path.name.startswith(HALF)}


def results_among(paths: Iterable[Path]) -> set[Path]:
    """Those of some files that predictions wrote."""
    folders = {path.parent for path in paths}
    return set().union(*map(results_in, folders))


def _copies(file: str) -> set[str]:
    """Names that the annotated copy of a table's file can have."""
    live = file.startswith("camera ") or "://" in file
    return {output_name(file), video_name(file), *([LIVE] if live else [])}


def _in_csv(path: Path) -> set[str] | None:
    """The files of a predictions.csv; None where it is none."""
    try:
        with open(path, encoding="utf-8", newline="") as table:
            rows = csv.reader(table)
            if next(rows, [])[: len(BEGINNING)] != BEGINNING:
                return None
            return {plain_text(row[0]) for row in rows if row}
    except (OSError, ValueError, csv.Error):
        return None


def _in_jsonl(path: Path) -> set[str] | None:
    """The files of a predictions.jsonl; None where it is none."""
    try:
        with open(path, encoding="utf-8") as table:
            lines = [line for line in table if line.startswith(LINE)]
    except (OSError, ValueError):
        return None
    decode = json.JSONDecoder().raw_decode
    try:
        return {str(decode(line, len(LINE))[0]) for line in lines} or None
    except ValueError:
        return None
