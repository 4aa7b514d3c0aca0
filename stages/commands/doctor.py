"""Check this machine: versions, device, models; name what does not work and how to fix it."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.trouble import Trouble
from stages.face import haar, landmarks
from stages.face.model_files import HAAR, PUBLISHED, installed

if TYPE_CHECKING:
    from pipeline.context import Context

PACKAGES = (
    *("numpy", "opencv-python", "dlib", "dlib-bin", "ai-edge-litert", "pillow", "pillow-heif"),
    *("torch", "torchvision"),
)
SLOWER = "several times slower: apt-get install gcc python3-dev, then make -B setup"


@dataclass(frozen=True)
class Doctor:
    """Check versions, device and models, and say how to fix what does not work."""

    def run(self, context: Context) -> int:
        """Prints what is there. Returns 1 where something does not work, else 0."""
        print(f"python         {platform.python_version()}")
        for name in PACKAGES:
            print(f"{name:<15}{_version(name) or 'not installed'}")
        for part, module, other in (
            ("face search", haar, "OpenCV's"),
            ("landmarks", landmarks, "dlib's"),
        ):
            print(f"{part:<15}{'compiled' if module.COMPILED else f'{other}, {SLOWER}'}")
        complaints = [text for text in (_opencv(), dlib(), _torch(), *_models()) if text]
        for complaint in complaints:
            print(f"NOT WELL: {complaint}")
        return int(bool(complaints))


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _opencv() -> str:
    """The first complaint about OpenCV, or ""."""
    variants = ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    for other in variants:
        if _version("opencv-python") and _version(other):
            return (
                f"opencv-python and {other} overwrite each other: pip uninstall both, then "
                "pip install -c constraints.txt opencv-python"
            )
    try:
        import cv2
    except ImportError as error:
        return f"OpenCV does not load ({error}): apt-get install libgl1 libglib2.0-0, or make setup"
    if not hasattr(cv2, "CascadeClassifier"):
        return f"OpenCV {cv2.__version__} has no Haar cascades: pip install 'opencv-python<5'"
    return ""


def dlib() -> str:
    """The first complaint about dlib, or "".

    dlib is imported in a process of its own: a processor that lacks its instructions ends it.
    """
    if _version("dlib") and _version("dlib-bin"):
        return "dlib and dlib-bin overwrite each other: make -B setup leaves one of them"
    detect = "import dlib, numpy; dlib.get_frontal_face_detector()(numpy.zeros((80, 80), 'uint8'))"
    done = subprocess.run(
        [sys.executable, "-c", detect], capture_output=True, text=True, check=False
    )
    if done.returncode == -signal.SIGILL:
        return (
            "this processor lacks the AVX instructions that dlib's wheel is compiled for: "
            "make setup DLIB=source compiles dlib for this machine"
        )
    if done.returncode:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return f"dlib does not load ({reason}): delete .venv, then make setup"
    return ""


def _torch() -> str:
    """The first complaint about torch, or "" (and the device is printed)."""
    try:
        import torch
        import torchvision
    except (ImportError, RuntimeError) as error:
        return f"torch or torchvision does not load ({error}): delete .venv, then make setup"
    try:
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (RuntimeError, NotImplementedError) as error:
        return f"torchvision's operators do not load ({error}): delete .venv, then make setup"
    gpu = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if gpu else "CPU (torch sees no GPU)"
    print(f"{'device':<15}{device}")
    return ""


def _models() -> list[str]:
    """A complaint for each model file that is missing or cut short."""
    complaints = []
    for name in (HAAR, *PUBLISHED):
        try:
            print(f"{'model':<15}{installed(name)}")
        except Trouble as trouble:
            complaints.append(str(trouble))
    return complaints
