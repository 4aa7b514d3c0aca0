"""What several test modules start from: real photographs, where there are some, and a small set."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_pipeline import home as home  # a fixture for the tests of pipeline/

if TYPE_CHECKING:
    from small_store import S3

# Read once a process, at the first video: tests make one before the program opens one.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def photographs() -> Path:
    """Folders of real photographs; they are not part of the project."""
    folder = SHARED / "photos"
    if not folder.is_dir():
        pytest.skip("needs ../shared/photos, real photographs that the project does not carry")
    return folder


@pytest.fixture(scope="session")
def server() -> S3:
    from small_store import S3

    return S3()


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An S3 server, as the environment names it to this process and those it starts."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.reset()
    return server


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def pipeline() -> Command:
    """The command line as a user calls it, in a process of its own."""

    def run(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-m", "pipeline", *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def tree_digest() -> Callable[[Path], str]:
    """Names the paths, bytes and times of all files below a folder."""

    def digest(folder: Path) -> str:
        whole = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                about = path.stat()
                whole.update(f"{path.relative_to(folder)} {about.st_mtime_ns}\n".encode())
                whole.update(path.read_bytes())
        return whole.hexdigest()

    return digest
