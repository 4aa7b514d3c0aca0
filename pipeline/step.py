"""A stage and its place: what a stage must offer, and where its results go."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

from pipeline import files
from pipeline.sample import Decision, Sample


class Stage(Protocol):
    """A frozen dataclass whose fields are its settings."""

    version: ClassVar[int]

    def models(self) -> tuple[Path, ...]:
        """Model files the result depends on."""
        ...


class PictureStage(Stage, Protocol):
    """Judges or changes one picture; raises Reject to drop it."""

    def __call__(self, sample: Sample) -> Sample: ...


class SetStage(Stage, Protocol):
    """Judges all pictures at once; the same set gives the same decisions in any order."""

    tables: ClassVar[tuple[str, ...]]

    def __call__(self, samples: Sequence[Sample]) -> Iterable[Decision]: ...

    def describe(self, decisions: Sequence[Decision]) -> dict[str, str]:
        """The text of each of `tables`, files that lie beside the pictures."""
        ...


@dataclass(frozen=True)
class Step:
    """A stage in its place: its settings, the folder it fills, the stage it takes from."""

    name: str
    stage: PictureStage | SetStage
    folder: str
    input: str | None
    whole_set: bool = False

    def settings(self) -> dict[str, Any]:
        return asdict(cast(Any, self.stage))

    def fingerprint(self) -> str:
        """Names all a result depends on: stage, version, settings, model files."""
        models = {path.name: files.identity(path) for path in self.stage.models()}
        whole = [self.name, self.stage.version, self.settings(), models]
        return files.digest(json.dumps(whole, sort_keys=True).encode())

    def output(self, sample: Sample, within: str = "") -> str:
        """Where a kept picture goes, relative to the processed folder."""
        parts = (self.folder, within, sample.label, files.output_name(sample.key))
        return "/".join(part for part in parts if part)
