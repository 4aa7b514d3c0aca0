"""Fill labels' folders below raw/ with pictures from the web."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.labels import split_named
from pipeline.progress import progress
from pipeline.store import require_local
from pipeline.trouble import Trouble, Usage

if TYPE_CHECKING:
    from pipeline.context import Context
    from stages.collecting.engines import Candidate
    from stages.collecting.fetch import Fetcher

LICENCES = ("cc0", "pdm", "by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")


@dataclass(frozen=True)
class Collect:
    """Fetch pictures from search engines or a list of addresses into raw/<label>/."""

    label: str | None = None
    """The label's folder below raw/ that is filled."""
    query: str | None = None
    """What to search for, for example "smiling face"; semicolons divide several searches."""
    n: int = 500
    """Pictures that the folder is to have, those of earlier runs included."""
    engine: Literal["both", "openverse", "commons", "bing"] = "both"
    """Who is asked; both is Openverse, then Wikimedia Commons. Bing's pictures have no known
    licence, and it needs `pip install 'lip-expression[icrawler]'`."""
    license: str = "cc0,pdm,by,by-sa"
    """Licences that are taken, by Creative Commons' codes; pdm is the public domain mark."""
    urls: Path | None = None
    """A file of addresses in place of a search: one a line, or CSV with columns url and label."""
    contact: str | None = None
    """Your e-mail or web address. Every host that is asked sees it; some refuse who gives none."""
    reach: Literal["public", "loopback", "any"] = "public"
    """Networks that may be asked: public ones, this machine too, or private ones too."""
    pause: float = 1.0
    """Seconds between two requests to one host."""
    endpoint: str | None = None
    """Another address of the engine's programming interface."""

    def __post_init__(self) -> None:
        if unknown := set(self.licences()) - set(LICENCES):
            raise ValueError(
                f"--license {', '.join(sorted(unknown))}: known are {', '.join(LICENCES)}"
            )
        if self.n < 1 or self.pause < 0:
            raise ValueError("--n must be 1 or more, --pause 0 or more")
        if self.endpoint and self.engine == "both":
            raise ValueError("--endpoint needs --engine")

    def licences(self) -> list[str]:
        return [code.strip() for code in self.license.split(",")]

    def run(self, context: Context) -> int:
        """Returns 1 where a search engine did not answer."""
        raw = require_local(context.settings.common.raw, "collect")
        if self.urls is not None:
            for label, candidates in self._listed(self.urls).items():
                self._fill(label_folder(raw, label), candidates, len(candidates))
            return 0
        if not (self.label and self.query):
            raise Usage("give a label and a search: make collect LABEL=smile QUERY='smiling face'")
        failures: list[str] = []
        self._fill(label_folder(raw, self.label), self._searched(failures), self.n)
        print("\n".join(failures), end="\n" if failures else "")
        return int(bool(failures))

    def _listed(self, path: Path) -> dict[str, list[Candidate]]:
        """The candidates of a list, by label."""
        from stages.collecting.lists import read_addresses

        by_label: dict[str, list[Candidate]] = {}
        for candidate in read_addresses(path, self.label):
            by_label.setdefault(candidate.label, []).append(candidate)
        return by_label

    def _searched(self, failures: list[str]) -> Iterator[Candidate]:
        """Candidates of each engine and each search, one after the other.

        What an engine says that fails is added to `failures`; the next one is asked all the same.
        """
        from stages.collecting.engines import ENGINES

        names = ["openverse", "commons"] if self.engine == "both" else [self.engine]
        fetcher = self._fetcher()
        for name in names:
            for query in str(self.query).split(";"):
                try:
                    found = ENGINES[name](fetcher, query.strip(), self.licences(), self.endpoint)
                    yield from found
                except Trouble as trouble:
                    failures.append(str(trouble))

    def _fetcher(self) -> Fetcher:
        from stages.collecting.fetch import Fetcher

        return Fetcher(self.contact, self.reach, self.pause)

    def _fill(self, folder: Path, candidates: Iterable[Candidate], most: int) -> None:
        """Collect into one folder, with progress, and say what came of it."""
        from stages.collecting.collect import collect

        counts: Counter[str] = Counter()
        with progress(desc=f"collect {folder.name}", unit=" pictures", total=most) as bar:
            for counts in collect(folder, candidates, self._fetcher(), most):
                bar.n = counts["kept"]
                bar.set_postfix(refused=counts.total() - counts["kept"])
        refused = {reason: count for reason, count in counts.most_common() if reason != "kept"}
        told = ", ".join(f"{reason} {count:,}" for reason, count in refused.items())
        print(
            f"collect: {counts['kept']:,} pictures in {folder}"
            + (f", {sum(refused.values()):,} refused ({told})" if refused else "")
        )


def label_folder(raw: Path, label: str) -> Path:
    """The folder of a label. Raises Usage for a name that cannot be one."""
    if label.strip(" .") != label or not label or {"/", "\\", "\0"} & set(label):
        raise Usage(f"{label!r} cannot be a label: it must name one folder below {raw}")
    if split_named(label):
        raise Usage(f"{label!r} cannot be a label: {raw}/{label} would be taken for a split")
    return raw / label
