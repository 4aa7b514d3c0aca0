"""The package installs: pip's way and make's agree, and a built wheel runs by itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from urllib.request import urlopen

import pytest
from packaging.requirements import Requirement
from packaging.tags import sys_tags
from served import LABELS, portrait_file, serving, small_model

from pipeline import install
from pipeline.pip_progress import PipProgress, duration
from stages.face import model_files

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DEPENDENCIES: list[str] = PROJECT["dependencies"]
HASHES = (ROOT / "pipeline" / "dlib-bin.txt").read_text(encoding="utf-8")


def requirement(name: str) -> str:
    return next(line for line in DEPENDENCIES if re.match(rf"{name}[ =<>~;]", line))


def test_the_hashes_are_those_of_the_version_that_pyproject_asks_for() -> None:
    assert f"\n{requirement('dlib-bin')} \\\n" in HASHES
    assert len(set(re.findall(r"--hash=sha256:[0-9a-f]{64}", HASHES))) == 24
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert requirement("dlib-bin").split(";")[0] in constraints


@pytest.mark.parametrize(
    ("python", "system", "machine", "has_wheel"),
    [
        ("cpython 3.11", "linux", "x86_64", True),
        ("cpython 3.14", "linux", "aarch64", True),
        ("cpython 3.12", "darwin", "arm64", True),
        ("cpython 3.13", "win32", "AMD64", True),
        ("cpython 3.12", "darwin", "x86_64", False),
        ("cpython 3.12", "linux", "riscv64", False),
        ("cpython 3.12", "win32", "ARM64", False),
        ("cpython 3.15", "linux", "x86_64", False),
        ("pypy 3.11", "linux", "x86_64", False),
    ],
)
def test_every_machine_gets_one_dlib_and_never_both(
    python: str, system: str, machine: str, has_wheel: bool
) -> None:
    implementation, version = python.split()
    surroundings = {
        "python_version": version,
        "implementation_name": implementation,
        "platform_machine": machine,
        "sys_platform": system,
    }

    def is_asked_for(name: str) -> bool:
        marker = Requirement(requirement(name)).marker
        return marker is not None and marker.evaluate(surroundings)

    assert is_asked_for("dlib-bin") == has_wheel
    assert is_asked_for("dlib") == is_asked_for("cmake") == (not has_wheel)


def test_a_wheel_of_another_content_is_refused(tmp_path: Path) -> None:
    marker = Requirement(requirement("dlib-bin")).marker
    if marker is None or not marker.evaluate():
        pytest.skip("there is no wheel for this machine")
    name = f"dlib_bin-20.0.1.post1-{next(sys_tags())}.whl"
    with zipfile.ZipFile(tmp_path / name, "w") as wheel:
        wheel.writestr("dlib_bin-20.0.1.post1.dist-info/METADATA", "Name: dlib-bin\n")
    words = ("--no-index", "--find-links", tmp_path, "--target", tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *install.CHECKED_WHEEL, *map(str, words)],
        cwd=ROOT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "site").exists()


def test_dlib_from_source_replaces_the_wheel_and_brings_cmake() -> None:
    wanted = install.requirements("source", [])
    assert "dlib>=20" in wanted and "cmake>=3.25" in wanted
    assert not any(line.startswith("dlib-bin") for line in wanted)
    assert install.requirements("wheel", []) == DEPENDENCIES


def test_an_extra_adds_its_packages_and_nothing_else() -> None:
    added = set(install.requirements("wheel", ["dev"])) - set(DEPENDENCIES)
    assert any(line.startswith("pytest") for line in added)
    assert not any(line.startswith("torch") for line in added)


def test_progress_tells_the_download_then_the_unpacking(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PipProgress()
    progress.read("Collecting torch\n")
    assert progress.doing == "looking up packages"
    progress.read("  Downloading torch-2.15.0-cp311-cp311-linux_x86_64.whl (846.5 MB)\n")
    progress.read("Progress 500000000 of 846500000\n")
    assert progress.doing == "downloading torch"
    assert progress.how_far().startswith("500 ")
    progress.read("Progress 846500000 of 846500000\n")
    progress.read("  Downloading numpy-2.4.6-cp311-cp311-linux_x86_64.whl.metadata (16 kB)\n")
    assert progress.doing == "downloading torch"
    progress.read("  Downloading numpy-2.4.6-cp311-cp311-linux_x86_64.whl (16.0 MB)\n")
    progress.read("Progress 10000000 of 16000000\n")
    assert progress.how_far().startswith("856 ")
    progress.read("Installing collected packages: no-such-package, pytest\n")
    assert progress.how_far().startswith("50% of 2 packages")
    assert capsys.readouterr().out == ""


def test_progress_keeps_the_first_complaint_of_pip() -> None:
    progress = PipProgress()
    progress.read("ERROR: No matching distribution found for torch\n")
    progress.read("ERROR: Something that follows from it\n")
    assert progress.error == "No matching distribution found for torch"


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59.9, "59 s"), (65, "1 min 05 s")])
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_complaint_of_pip_is_told_and_the_log_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "LOG", tmp_path / "setup.log")
    with pytest.raises(RuntimeError, match="satisfies the requirement no-such-package"):
        install.pip("install", "--no-index", "no-such-package")
    log = (tmp_path / "setup.log").read_text(encoding="utf-8")
    assert "No matching distribution found for no-such-package" in log


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as a wheel puts it, built from a copy without leftovers."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tree / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*pip, *build, folder, tree], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = ["install", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, *target, folder / "site", wheel], check=True, capture_output=True)
    (folder / "site" / "face_models").symlink_to(model_files.FOLDER)
    (folder / "site" / "raw").mkdir()
    return folder / "site"


def in_wheel(site: Path, *words: object) -> str:
    """What the installed package's command line prints; Python looks into its folder first."""
    command = [sys.executable, "-W", "error", "-m", "pipeline", *map(str, words)]
    done = subprocess.run(command, cwd=site, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_that_the_stages_read(installed: Path) -> None:
    tree = installed.parent / "tree"
    needed = {path.relative_to(tree) for path in (tree / "stages").rglob("*") if path.is_file()}
    needed = {path for path in needed if path.suffix not in (".c", ".pyi")}
    assert needed
    assert not [path for path in needed if not (installed / path).is_file()]


def test_status_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "normalize" in in_wheel(installed, "status", "--processed", tmp_path)


def test_predict_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    words = ("--model", small_model(tmp_path), "--input", portrait_file(tmp_path))
    in_wheel(installed, "predict", *words, "--processed", tmp_path / "processed")
    (table,) = (tmp_path / "processed").rglob("predictions.csv")
    assert any(label in table.read_text(encoding="utf-8") for label in LABELS)


def test_serve_runs_from_the_wheel_with_its_page(installed: Path, tmp_path: Path) -> None:
    with serving(small_model(tmp_path), folder=installed) as server:
        for place in ("/", "/docs", "/openapi.json"):
            with urlopen(f"{server.address}{place}") as answer:
                assert answer.status == 200
