"""A stage and its place: what a stage must offer, and where its results go."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, cast, runtime_checkable

from pipeline import files
from pipeline.sample import Decision, Sample
from pipeline.store import Place


class Stage(Protocol):
    """A frozen dataclass whose fields are its settings.

    Raise `version` when the code changes what the stage puts out.
    """

    version: ClassVar[int]


class PictureStage(Stage, Protocol):
    """Judges or changes one picture. Raises Reject to drop it."""

    def __call__(self, sample: Sample) -> Sample: ...


class SetStage(Stage, Protocol):
    """Judges all pictures at once. The same set gives the same decisions, whatever its order.

    The stage may add facts. Those it does not need are in the ledger alone meanwhile, so that a
    million pictures fit into memory.
    """

    needs: ClassVar[frozenset[str]]
    """The facts that the stage reads; the samples come without any other."""

    def __call__(self, samples: Sequence[Sample]) -> Iterable[Decision]: ...


@runtime_checkable
class UsesModels(Protocol):
    """A stage whose result depends on model files. Which ones may depend on its settings."""

    def models(self) -> tuple[Path, ...]:
        """The model files. Raises Trouble where one is missing or damaged."""
        ...


@runtime_checkable
class WritesTables(Protocol):
    """A whole-set stage that writes tables beside its pictures."""

    tables: ClassVar[tuple[str, ...]]
    """File names, relative to the stage's folder."""

    def describe(self, decisions: Sequence[Decision]) -> dict[str, str]:
        """The text of each of `tables` by file name; decisions come sorted by key."""
        ...


class Packed(NamedTuple):
    """The files that a stage packed its pictures into: names in its folder, and whether all that
    are wanted are there.
    """

    names: frozenset[str]
    whole: bool


@runtime_checkable
class Packs(Protocol):
    """A whole-set stage that can pack its pictures into larger files."""

    @property
    def keeps_tree(self) -> bool:
        """Whether the stage's folder has a file for each picture too. If not, its rows name the
        files of the stage before.
        """
        ...

    def packed(self, folder: Place) -> Packed:
        """What was packed in the stage's folder. No picture is read."""
        ...

    def pack(self, folder: Place, decisions: Sequence[Decision]) -> None:
        """Write what is missing or differs; decisions come sorted by key."""
        ...


@runtime_checkable
class Remarks(Protocol):
    """A whole-set stage that has more to say than how many pictures it kept and dropped."""

    def remarks(self, decisions: Sequence[Decision]) -> Iterable[str]:
        """Sentences for the user, each a line."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A whole-set stage that takes its earlier decisions into account."""

    @property
    def memory(self) -> str:
        """What the earlier decisions were made for; those made for another are not taken."""
        ...

    def __call__(self, samples: Sequence[Sample], earlier: Mapping[str, str]) -> Iterable[Decision]:
        """`earlier` are the folders (`within`) that the stage last chose, by key. They include
        pictures that are gone now.
        """
        ...


@dataclass(frozen=True)
class Step:
    """A stage in its place: its settings, the folder it fills, the stage it takes from.

    `input` is None for the first stage, which takes the user's files.
    """

    name: str
    stage: PictureStage | SetStage
    folder: str
    input: str | None
    whole_set: bool = False

    def settings(self) -> dict[str, Any]:
        """The stage's settings by name; a file counts by its name and its content."""
        settings = asdict(cast(Any, self.stage))
        return {
            name: f"{value.name} ({files.digest(value.read_bytes())[:8]})"
            if isinstance(value, Path)
            else value
            for name, value in settings.items()
        }

    def fingerprint(self) -> str:
        """Names all that a result depends on: stage, version, settings and model files."""
        paths = self.stage.models() if isinstance(self.stage, UsesModels) else ()
        models = {path.name: files.identity(path) for path in paths}
        whole = [self.name, self.stage.version, self.settings(), models]
        return files.digest(json.dumps(whole, sort_keys=True).encode())

    def tables(self) -> tuple[str, ...]:
        """Tables that must be there, relative to the stage's folder."""
        return self.stage.tables if isinstance(self.stage, WritesTables) else ()

    def describe(self, decisions: Sequence[Decision]) -> dict[str, str]:
        """The text of the tables by file name."""
        return self.stage.describe(decisions) if isinstance(self.stage, WritesTables) else {}

    @cached_property
    def keeps_tree(self) -> bool:
        """Whether the stage's folder has a file for each kept picture."""
        return not isinstance(self.stage, Packs) or self.stage.keeps_tree

    def packed(self, processed: Place) -> Packed:
        """What the stage packed its pictures into, relative to the processed folder."""
        if not isinstance(self.stage, Packs):
            return Packed(frozenset(), True)
        names, whole = self.stage.packed(processed / self.folder)
        return Packed(frozenset(f"{self.folder}/{name}" for name in names), whole)

    def pack(self, processed: Place, decisions: Sequence[Decision]) -> None:
        """Pack the kept pictures, if the stage does so."""
        if isinstance(self.stage, Packs):
            self.stage.pack(processed / self.folder, decisions)

    def remarks(self, decisions: Sequence[Decision]) -> Iterable[str]:
        """What the stage has to say on its decisions, a line each."""
        return self.stage.remarks(decisions) if isinstance(self.stage, Remarks) else ()

    def memory(self) -> str | None:
        """Names the earlier decisions that the stage takes into account; None where it has none."""
        if not isinstance(self.stage, Remembers):
            return None
        return f"{self.name}, {self.stage.memory}"

    def needs(self) -> frozenset[str]:
        """The facts that a whole-set stage reads."""
        return cast(SetStage, self.stage).needs

    def decide(self, samples: Sequence[Sample], earlier: Mapping[str, str]) -> Iterable[Decision]:
        """The decisions of a whole-set stage; see Remembers for `earlier`."""
        if isinstance(self.stage, Remembers):
            return self.stage(samples, earlier)
        return cast(SetStage, self.stage)(samples)

    def owns(self, path: str) -> bool:
        """Whether a path, relative to the processed folder, lies in the stage's folder."""
        return path.startswith(f"{self.folder}/")

    def output(self, sample: Sample, within: str = "") -> str:
        """Where a kept picture goes, relative to the processed folder."""
        parts = (self.folder, within, sample.label, files.output_name(sample.key))
        return "/".join(part for part in parts if part)
