"""Look the machine over: versions, device, models; refuse what is known not to work."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.trouble import Trouble
from stages.face.haar import COMPILED
from stages.face.model_files import HAAR, PUBLISHED, installed

if TYPE_CHECKING:
    from pipeline.context import Context

PACKAGES = ("numpy", "opencv-python", "dlib-bin", "pillow", "pillow-heif", "torch", "torchvision")
SLOWER = "OpenCV's, several times slower: apt-get install gcc, delete .venv/ready, then make setup"


@dataclass(frozen=True)
class Doctor:
    """Check versions, device and models, and say the way out of what does not work."""

    def run(self, context: Context) -> int:
        print(f"python         {platform.python_version()}")
        for name in PACKAGES:
            print(f"{name:<15}{_version(name) or 'missing'}")
        print(f"{'face search':<15}{'compiled' if COMPILED else SLOWER}")
        complaints = [one for one in (_opencv(), _torch(), *_models()) if one]
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
