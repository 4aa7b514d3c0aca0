"""The server under load: requests a second, time to an answer, memory.

Starts `serve` with a model, sends it the demo portrait's head (320×320, JPEG) over several
connections that stay open, and prints what it measured. Memory is the resident set of the server.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from pipeline.pictures import encode
from stages.demo.portrait import portrait


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a run's folder or an .onnx file")
    parser.add_argument("--requests", type=int, default=2400)
    parser.add_argument("--connections", type=int, default=8)
    given = parser.parse_args()
    command = [sys.executable, "-m", "pipeline", "serve", "--port", "0", "--model", given.model]
    server = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().split("127.0.0.1:")[1].split()[0])
        load(port, server.pid, given)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()


def load(port: int, process: int, given: argparse.Namespace) -> None:
    """Warm up, then measure; memory after each third shows whether it grows."""
    picture = encode(np.ascontiguousarray(portrait()[0][:320, 80:400]))
    share = given.requests // (3 * given.connections)
    with ThreadPoolExecutor(given.connections) as pool:

        def burst(count: int) -> list[float]:
            bursts = pool.map(lambda _: ask(port, picture, count), range(given.connections))
            return [seconds for burst in bursts for seconds in burst]

        burst(10)
        memory, taken, began = [megabytes(process)], list[float](), time.perf_counter()
        for _ in range(3):
            taken += burst(share)
            memory.append(megabytes(process))
        seconds = time.perf_counter() - began
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    print(
        f"{len(taken):,} requests over {given.connections} connections, none refused: "
        f"{len(taken) / seconds:.0f} a second, p50 {p50:.0f} ms, p99 {p99:.0f} ms"
    )
    print(f"memory before, and after each third: {', '.join(f'{size:.0f}' for size in memory)} MB")


def ask(port: int, picture: bytes, count: int) -> list[float]:
    """Seconds that each of some requests over one connection took; each is answered."""
    taken = []
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for _ in range(count):
            began = time.perf_counter()
            connection.request("POST", "/predict", picture)
            reply = connection.getresponse()
            body = reply.read()
            taken.append(time.perf_counter() - began)
            if reply.status != 200:
                sys.exit(f"status {reply.status}: {body.decode()}")
    return taken


def megabytes(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


if __name__ == "__main__":
    main()
