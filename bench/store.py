"""Folders in a store against folders on disk: CPU time, requests, and the same bytes.

Starts moto's S3 server on this machine, which is slow: look at CPU time, not at the clock. With
`--address` it takes a place in any other store, and fills it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from programs import ROOT

from pipeline.store import Address, in_parallel, place

FILE = os.urandom(30_000)  # bytes of a crop, about


@contextmanager
def server(log: Path) -> Iterator[Address]:
    """Moto's server with a bucket; `log` gets a line for each request."""
    port = 5000 + os.getpid() % 1000
    endpoint = f"http://127.0.0.1:{port}"
    os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with open(log, "wb") as lines, subprocess.Popen(command, stdout=lines, stderr=lines) as moto:
        try:
            while True:
                try:
                    urlopen(Request(f"{endpoint}/bucket", method="PUT"))
                    break
                except URLError:
                    time.sleep(0.1)
            yield Address("s3://bucket/bench")
        finally:
            moto.terminate()


def cpu(who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds that this process, or what it has started and awaited, has taken."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def each(title: str, count: int, action: Callable[[int], object]) -> None:
    """Print CPU and clock of one call, in milliseconds."""
    action(0)
    began, used = time.perf_counter(), cpu()
    for number in range(count):
        action(number)
    clock = time.perf_counter() - began
    print(f"{title:<28}{(cpu() - used) / count * 1e3:>8.2f}{clock / count * 1e3:>10.2f}")


def requests(root: Address, count: int) -> None:
    """CPU time of single requests, by this program's layer and, where it is installed, by s3fs."""
    print(f"{'a file of 30 kB, ms':<28}{'CPU':>8}{'clock':>10}")
    each("write", count, lambda number: (root / f"a/{number}").write_bytes(FILE))
    each("read", count, lambda number: (root / f"a/{number}").read_bytes())
    each("copy", count, lambda number: (root / f"b/{number}").copy_from(root / f"a/{number}"))
    each(f"list {2 * count:,}", 1, lambda number: list(root.entries()))
    try:
        import s3fs
    except ImportError:
        return
    files, name = s3fs.S3FileSystem(use_listings_cache=False), root.url.removeprefix("s3://")
    each("write, s3fs", count, lambda number: files.pipe_file(f"{name}/a/{number}", FILE))
    each("read, s3fs", count, lambda number: files.cat_file(f"{name}/a/{number}"))
    each("copy, s3fs", count, lambda n: files.cp_file(f"{name}/a/{n}", f"{name}/b/{n}"))
    each(f"list {2 * count:,}, s3fs", 1, lambda number: files.find(name, detail=True))


def prepare(raw: str, processed: str, scratch: Path, *words: str) -> str:
    """Run `split`; prints its CPU seconds and returns what it printed."""
    command = [sys.executable, "-m", "pipeline", "split", "--raw", raw, "--processed", processed]
    used = cpu(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--scratch", str(scratch), *words],
        cwd=ROOT, text=True, capture_output=True, check=True,
    )  # fmt: skip
    print(f"{processed}: {cpu(resource.RUSAGE_CHILDREN) - used:.1f} CPU seconds")
    return done.stdout


def hashes(processed: Path | Address) -> dict[str, str]:
    """Digests of all files of the data set."""
    root = processed / "dataset"
    if isinstance(root, Address):
        found = {entry.name: (root / entry.name).read_bytes() for entry in root.entries()}
    else:
        paths = (path for path in root.rglob("*") if path.is_file())
        found = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}


def compare(root: Address, raw: Path, folder: Path, log: Path, words: list[str]) -> None:
    """Prepare the same pictures on disk and in the store."""
    pictures = [path for path in raw.rglob("*") if path.is_file()]
    in_parallel(
        lambda path: (root / "raw" / path.relative_to(raw).as_posix()).write_bytes(path), pictures
    )
    prepare(str(raw), str(folder / "processed"), folder, *words)
    before = log.stat().st_size
    print(prepare(f"{root}/raw", f"{root}/processed", folder, *words))
    lines = log.read_text(encoding="utf-8", errors="replace")[before:]
    asked = Counter(re.findall(r'"\S*?(GET|PUT|HEAD|DELETE|POST) ', lines))
    each_picture = ", ".join(f"{name} {count / len(pictures):.1f}" for name, count in asked.items())
    print(f"requests a picture: {each_picture}")
    same = hashes(folder / "processed") == hashes(root / "processed")
    print(f"the data sets are {'the same, byte for byte' if same else 'NOT the same'}")
    prepare(f"{root}/raw", f"{root}/processed", folder, *words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, default=Path("demo/raw"), help="folder of pictures")
    parser.add_argument("--address", help="an empty place in a store; else moto's server")
    parser.add_argument("--count", type=int, default=1000, help="files for single requests")
    parser.add_argument("words", nargs="*", help="flags for the pipeline, after --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name, "requests")
        log.touch()
        if given.address and isinstance(address := place(given.address), Address):
            requests(address / "requests", given.count)
            compare(address, given.raw, folder, log, given.words)
            return
        with server(log) as address:
            requests(address / "requests", given.count)
            compare(address, given.raw, folder, log, given.words)


if __name__ == "__main__":
    main()
