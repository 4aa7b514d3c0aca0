"""The command that looks for copies that cross splits or labels in any folder of pictures."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from pipeline import files, raw
from pipeline.labels import split_of
from pipeline.progress import progress
from pipeline.sample import Facts, Reject, Sample
from pipeline.settings import PlaceFlag
from pipeline.store import Address, Place, place
from pipeline.trouble import Usage
from stages.normalize import Normalize
from stages.split import Split

if TYPE_CHECKING:
    from pipeline.context import Context
    from stages.likeness.crossing import Crossing

DRAWN = 100  # pairs on a contact sheet


@dataclass(frozen=True)
class Recognition:
    """Finds the facts of a picture, or the reason why it cannot be read. It is not changed."""

    normalize: Normalize

    def __call__(self, sample: Sample) -> Facts | str:
        try:
            return self.normalize(sample).facts
        except Reject as reject:
            return reject.reason


@dataclass(frozen=True)
class Check:
    """Find copies that cross train/val/test or labels in any folder; it is only read."""

    folder: Annotated[PlaceFlag | None, tyro.conf.Positional] = None
    """Folders of labels, or such folders in train/, val/ and test/."""
    json: bool = False
    """Print JSON in place of lines."""
    sheet: Path | None = None
    """Where a contact sheet (PNG) of the pairs goes; it must lie outside the folder."""
    max_distance: int = 22
    """Bits of 256; pictures whose hashes differ by no more are near."""

    def run(self, context: Context) -> int:
        """Print the pairs; 1 where there are any. Raises Usage where there is nothing to check."""
        from stages.likeness.crossing import crossings
        from stages.likeness.parts import is_same

        folder = self._folder()
        samples, unread = self._read(folder, context)
        normalize = context.settings.stages["normalize"]
        pairs = crossings(
            samples,
            self.max_distance,
            lambda one, other: is_same(normalize(one).image, normalize(other).image),
        )
        if self.json:
            print(json.dumps({"pairs": list(map(_entry, pairs))}, ensure_ascii=False))
        else:
            for pair in pairs:
                line = f"{pair.kind} {pair.distance:>2}  {pair.one.key}  {pair.other.key}"
                print(files.shown(line))
        self._summarize(folder, len(samples), len(pairs), unread)
        if self.sheet and pairs:
            _draw(self.sheet, pairs, normalize)
        return int(bool(pairs))

    def _folder(self) -> Place:
        if self.folder is None:
            raise Usage("name a folder of pictures: python -m pipeline check FOLDER")
        if isinstance(self.folder, Address):
            return self.folder
        if not self.folder.is_dir():
            raise Usage(f"{self.folder} is not a folder")
        if self.sheet and self.sheet.resolve().is_relative_to(self.folder.resolve()):
            raise Usage(f"--sheet {self.sheet} lies in {self.folder}, which is only read")
        return self.folder

    def _read(self, folder: Place, context: Context) -> tuple[list[Sample], Counter[str]]:
        """All pictures with their facts, in order of key; other files counted by reason."""
        listing = raw.find(folder, context.settings.common.follow_links)
        files = [found for found in listing.files if found.key not in Split.tables]
        refusals = (found.refusal for found in files)
        unread = Counter(reason for reason in refusals if reason not in ("", "no_label"))
        samples = [
            Sample(found.key, found.label, place(found.path))
            for found in files
            if found.refusal in ("", "no_label")
        ]
        known: list[Sample] = []
        recognition = Recognition(context.settings.stages["normalize"])
        results = context.executor.map(recognition, samples)
        for sample, facts in progress(results, desc="check", total=len(samples), unit=" pictures"):
            if isinstance(facts, str | Exception):
                unread[facts if isinstance(facts, str) else "failed"] += 1
            else:
                known.append(replace(sample, facts=facts))
        if not known:
            raise Usage(f"{folder} holds no pictures to check")
        return sorted(known, key=lambda sample: sample.key), unread

    def _summarize(self, folder: Place, count: int, pairs: int, unread: Mapping[str, int]) -> None:
        """Counts, in lines that are no part of the JSON."""
        stream = sys.stderr if self.json else sys.stdout
        if unread:
            reasons = ", ".join(f"{reason} {number:,}" for reason, number in sorted(unread.items()))
            total = f"{sum(unread.values()):,}"
            print(f"check: files that could not be read: {total} ({reasons})", file=stream)
        print(
            f"check: {count:,} pictures in {files.shown(str(folder))}; pairs of copies that cross "
            f"a split or a label: {pairs:,}",
            file=stream,
        )


def _entry(pair: Crossing) -> dict[str, Any]:
    """A pair as the JSON has it."""
    both = (pair.one, pair.other)
    return {
        "a": pair.one.key,
        "b": pair.other.key,
        "distance": pair.distance,
        "kind": pair.kind,
        "splits": [split_of(sample.key) for sample in both],
        "labels": [sample.label for sample in both],
    }


def _draw(path: Path, pairs: Sequence[Crossing], normalize: Normalize) -> None:
    """The first pairs as a contact sheet: what each is, and the two pictures."""
    from pipeline.pictures import encode_png
    from stages.predict.drawing import contact_sheet

    rows = {}
    for number, pair in enumerate(pairs[:DRAWN], 1):
        sides = " | ".join(sample.key.rpartition("/")[0] for sample in (pair.one, pair.other))
        name = f"{number}: {pair.kind} {pair.distance}, {sides}"
        rows[name] = [normalize(sample).image for sample in (pair.one, pair.other)]
    files.write(path, encode_png(contact_sheet(rows, 2)))
    left_out = f", the first {DRAWN} of {len(pairs):,}" if len(pairs) > DRAWN else ""
    print(f"check: pairs drawn in {path}{left_out}", file=sys.stderr)
