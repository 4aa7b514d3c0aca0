"""A short progress in place of pip's hundred lines: what it does, how far, how long still."""

from __future__ import annotations

import re
import sys
import sysconfig
import threading
import time
from pathlib import Path

LINUX_DOWNLOAD = 3300  # MB that the packages of constraints.txt come to on Linux (measured)
FILE = r"\s*(?:Downloading|Using cached) ([\w.]+)-.*(?<!\.metadata) \(([\d.]+) ([kM])B\)"


class PipProgress:
    """Reads pip's lines. On a terminal it shows one line that changes every second, elsewhere a
    new line every 20 seconds.
    """

    def __init__(self) -> None:
        self.doing = ""
        self.error = ""
        self._sizes: dict[str, float] = {}  # MB of each package's file
        self._fetched = 0.0  # MB of the downloads before this one
        self._here = 0.0  # MB of this one
        self._unpacking: list[str] = []
        self._since = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def read(self, line: str) -> None:
        """Take in one line of pip's."""
        if found := re.match(r"Progress (\d+) of", line):
            self._here = int(found[1]) / 1e6
        elif found := re.match(FILE, line):
            self._fetched, self._here = self._fetched + self._here, 0.0
            self._sizes[_key(found[1])] = float(found[2]) * (1 if found[3] == "M" else 0.001)
            self.doing = f"downloading {found[1]}"
        elif line.startswith("Collecting ") and not self.doing:
            self.doing = "looking up packages"
        elif found := re.match(r"\s*Building wheel for ([\w.-]+)", line):
            self.doing = f"compiling {found[1]}"
        elif found := re.match(r"Installing collected packages: (.*)", line):
            self._unpacking = [_key(name) for name in found[1].split(", ")]
            self.doing, self._since = "unpacking", time.monotonic()
        elif found := re.match(r"ERROR: (.*)", line):
            self.error = self.error or found[1]

    def how_far(self) -> str:
        """MB or packages so far and of how many, and the time that the rest takes at this rate."""
        passed = time.monotonic() - self._since
        if self._unpacking:
            share = self._unpacked()
            still = f", {duration(passed / share - passed)} still" if share > 0.1 else ""
            return f"{share:.0%} of {len(self._unpacking)} packages{still}"
        if not self.doing.startswith("downloading"):
            return f"{duration(passed)} so far"
        fetched = self._fetched + self._here
        if not sys.platform.startswith("linux") or not 10 < fetched < LINUX_DOWNLOAD:
            return f"{fetched:,.0f} MB so far"
        still = duration((LINUX_DOWNLOAD - fetched) * passed / fetched)
        return f"{fetched:,.0f} of about {LINUX_DOWNLOAD:,} MB, {still} still"

    def _unpacked(self) -> float:
        """Share of the packages, by size, that are in the environment."""
        folder = Path(sysconfig.get_path("purelib"))
        there = {_key(path.name.split("-")[0]) for path in folder.glob("*.dist-info")}
        sizes = {name: self._sizes.get(name, 1.0) for name in self._unpacking}
        return sum(size for name, size in sizes.items() if name in there) / sum(sizes.values())

    def _show(self) -> None:
        terminal = sys.stdout.isatty()
        while not self._ended.wait(1 if terminal else 20):
            if self.doing:
                line = f"setup: {self.doing}, {self.how_far()}"
                print(f"\r\033[K{line}" if terminal else f"{line}\n", end="", flush=True)
        if terminal:
            print("\r\033[K", end="", flush=True)


def duration(seconds: float) -> str:
    """For people: `1 min 05 s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _key(name: str) -> str:
    """A package's name with one spelling for dots, dashes and underscores."""
    return re.sub(r"[-_.]+", "-", name).lower()
