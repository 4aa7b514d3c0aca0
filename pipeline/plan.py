"""What a step has to do: its input compared with its rows and files. No picture is decoded."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import decisions, files
from pipeline.labels import require_clear
from pipeline.ledger import Ledger
from pipeline.listing import Found, Listing
from pipeline.raw import copies, find, without_clashes
from pipeline.sample import Sample
from pipeline.step import Step
from pipeline.store import Place
from pipeline.trouble import Usage
from pipeline.workbench import Workbench


@dataclass(frozen=True)
class Plan:
    """What one step has to do."""

    fingerprint: str  # the step's own, for its new rows
    # Stamp of the input by key, in order of key: pictures that are new, changed, in error, made
    # with other settings, or whose files are missing.
    todo: dict[str, str]
    to_remake: set[str]  # keys in `todo` that were done with other settings
    gone: set[str]  # keys that are done, but are no longer in the input
    stray: set[str]  # files to delete: no row owns them, or their row is about to be redone

    def without(self, keys: Container[str]) -> Plan:
        """The plan without the work on some keys."""
        todo = {key: stamp for key, stamp in self.todo.items() if key not in keys}
        return replace(self, todo=todo)

    @property
    def empty(self) -> bool:
        return not (self.todo or self.gone or self.stray)


class Planner:
    """Compares the raw folder, the processed folder and the ledger."""

    def __init__(
        self, raw: Place, workbench: Workbench, ledger: Ledger, follow_links: bool = False
    ) -> None:
        self._raw = raw
        self._processed = workbench.processed
        self._indexes = workbench.folder / "cache" / "tars"
        self._ledger = ledger
        self._follow_links = follow_links
        self._decisions = decisions.read(self._processed / decisions.NAME)
        ledger.decide({digest: decision.mark() for digest, decision in self._decisions.items()})
        self._listing: Listing | None = None
        self._found: dict[str, Found] = {}

    def plan(self, step: Step) -> Plan:
        """Compare a step's input with its rows and its folder."""
        fingerprint = step.fingerprint()
        if step.input is None:
            self._raw_files()
        todo, to_remake, gone = self._ledger.compare(step.name, fingerprint, step.input)
        packed = step.packed(self._processed)
        if not (packed.whole and self._tables_exist(step)):
            todo = self.sources(step)
        stray, missing = self.present(step) - packed.names, set()
        for output, key in self._ledger.outputs(step.name):
            if step.owns(output) and key not in todo and key not in gone:
                if output in stray:
                    stray.remove(output)
                else:
                    missing.add(key)
        if missing:
            wanted = self.sources(step)
            todo = {key: wanted[key] for key in sorted(todo.keys() | missing)}
        return Plan(fingerprint, todo, to_remake, gone, stray)

    def count(self, step: Step) -> int:
        """Number of pictures in a step's input."""
        return len(self._raw_files()) if step.input is None else self._ledger.counts(step.input)[0]

    def sources(self, step: Step) -> dict[str, str]:
        """A step's input: stamps by key."""
        if step.input is not None:
            return self._ledger.kept(step.input)
        return {key: found.stamp for key, found in self._raw_files().items()}

    def samples(self, step: Step, only: Container[str] | None = None) -> Iterator[Sample]:
        """The samples of a step's input, or of the keys in `only`.

        Files that must not be opened are left out.
        """
        if step.input is not None:
            kept = self._ledger.samples(step.input, self._processed, only)
            return (decisions.applied(sample, self._decisions) for sample in kept)
        return (
            Sample(file.key, file.label, file.place, file.facts)
            for file in self._raw_files().values()
            if not file.refusal and (only is None or file.key in only)
        )

    def refused(self, step: Step, plan: Plan) -> Iterator[Found]:
        """Files to do that must not be opened."""
        if step.input is None:
            files_by_key = self._raw_files()
            yield from (files_by_key[key] for key in plan.todo if files_by_key[key].refusal)

    def copies(self, step: Step, plan: Plan) -> set[str]:
        """Keys of pictures to do that are copies of others; only for the first step, whose input is
        the user's files.
        """
        raw = self._raw_files() if step.input is None else {}
        return copies(raw[key] for key in plan.todo if key in raw)

    def present(self, step: Step) -> set[str]:
        """Pictures, shards and half-written files in the step's folder, as paths relative to the
        processed folder.
        """
        return files.pictures_in(self._processed, step.folder)

    def listing(self) -> Listing:
        """What the raw folder holds, listed once.

        Raises Usage if there is no such folder, or if its labels and splits are ambiguous.
        """
        if self._listing is None:
            if isinstance(self._raw, Path) and not self._raw.is_dir():
                raise Usage(
                    f"{self._raw} is not a folder: put your pictures into {self._raw}/<label>/, "
                    "or name another with --raw"
                )
            listing = find(self._raw, self._follow_links, self._processed, self._indexes)
            require_clear(listing.keys(), self._raw)
            self._listing = listing
            self._found = without_clashes(listing.files)
            self._ledger.see((key, found.stamp) for key, found in self._found.items())
        return self._listing

    def _raw_files(self) -> dict[str, Found]:
        self.listing()
        return self._found

    def _tables_exist(self, step: Step) -> bool:
        folder = self._processed / step.folder
        return all((folder / name).exists() for name in step.tables())
