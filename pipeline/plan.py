"""What a step has to do: wanted − done. Reads names, times and rows, but no picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pipeline import files
from pipeline.ledger import Ledger
from pipeline.sample import Sample
from pipeline.step import SetStage, Step
from pipeline.trouble import Usage


@dataclass(frozen=True)
class Plan:
    """What one step has to do; the sets are of keys, but `stray`: paths that no row owns."""

    fingerprint: str  # what the step's rows are to carry
    sources: dict[str, str]  # key → stamp of what is wanted
    stale: set[str]  # to be done
    remade: set[str]  # those of `stale` that only other settings made so
    gone: set[str]  # done, but no longer wanted
    stray: set[str]

    @property
    def empty(self) -> bool:
        return not (self.stale or self.gone or self.stray)


class Planner:
    """Compares the raw folder, the processed one and the ledger."""

    def __init__(self, raw: Path, processed: Path, ledger: Ledger) -> None:
        self._raw = raw
        self._processed = processed
        self._ledger = ledger
        self._found: dict[str, files.Found] | None = None

    def plan(self, step: Step) -> Plan:
        """Compare what is wanted with what is done."""
        fingerprint = step.fingerprint()
        done = self._ledger.done(step.name)
        sources = self.sources(step)
        present = self.present(step)
        stale: set[str] = set()
        remade: set[str] = set()
        owned: set[str] = set()
        for key, source in sources.items():
            row = done.get(key)
            if row is None or row.source != source or row.verdict == "error":
                stale.add(key)
            elif row.fingerprint != fingerprint:
                stale.add(key)
                remade.add(key)
            elif row.output and row.output not in present:
                stale.add(key)
            else:
                owned.add(row.output)
        if step.whole_set and not self._tables_exist(step):
            stale.update(sources)
        gone = done.keys() - sources.keys()
        return Plan(fingerprint, sources, stale, remade, gone, present - owned)

    def sources(self, step: Step) -> dict[str, str]:
        """What a step takes: stamps by key."""
        if step.input is not None:
            return self._ledger.kept(step.input)
        return {key: found.stamp for key, found in self._raw_files().items()}

    def samples(self, step: Step) -> Iterator[Sample]:
        """What a step takes, but for what must not be opened."""
        if step.input is not None:
            return self._ledger.samples(step.input, self._processed)
        found = self._raw_files().values()
        return (Sample(file.key, file.label, Path(file.path)) for file in found if not file.refusal)

    def refused(self, step: Step, plan: Plan) -> Iterator[files.Found]:
        """Of what is to be done: files that must not be opened."""
        if step.input is None:
            yield from (
                one for key in sorted(plan.stale) if (one := self._raw_files()[key]).refusal
            )

    def copies(self, step: Step, plan: Plan) -> set[str]:
        """Of what is to be done: files of the user's that are copies of others."""
        if step.input is not None:
            return set()
        return files.copies(self._raw_files()[key] for key in sorted(plan.stale))

    def present(self, step: Step) -> set[str]:
        """Pictures (and half-written files) in the step's folder, relative to the processed one."""
        paths = files.pictures_in(self._processed / step.folder)
        return {f"{step.folder}/{path}" for path in paths}

    def _raw_files(self) -> dict[str, files.Found]:
        if self._found is None:
            if not self._raw.is_dir():
                raise Usage(
                    f"{self._raw} is no folder: put your pictures into {self._raw}/<label>/, "
                    "or name another with --raw"
                )
            self._found = files.without_clashes(files.find(self._raw))
        return self._found

    def _tables_exist(self, step: Step) -> bool:
        names = cast(SetStage, step.stage).tables
        return all((self._processed / step.folder / name).exists() for name in names)
