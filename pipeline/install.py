"""Install the packages of pyproject.toml into this virtual environment; make runs this.

No package is there yet when it runs: it uses the standard library alone.
"""

from __future__ import annotations

import argparse
import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from pipeline.pip_progress import PipProgress, duration

ROOT = Path(__file__).parent.parent
LOG = Path(sys.prefix) / "setup.log"
COMPILED, WHEEL = "dlib", "dlib-bin"
HASHES = ("--require-hashes", "-r", "pipeline/dlib-bin.txt")
CHECKED_WHEEL = (*HASHES, "--no-deps", "--only-binary=:all:")
NO_COMPILER = "dlib has to be compiled, and {} is missing: apt-get install g++ python3-dev"


def main() -> int:
    """Returns the exit code: 0, or 1 after a sentence that says what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dlib", choices=("wheel", "source"), default="wheel")
    parser.add_argument("extras", nargs="*", help="optional groups of pyproject.toml: dev")
    options = parser.parse_args()
    LOG.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        pip("install", "pip>=25")
        install_dlib(options.dlib)
        wanted = requirements(options.dlib, options.extras)
        raw = "--progress-bar=raw"
        pip("install", raw, "--no-compile", "-c", str(ROOT / "constraints.txt"), *wanted)
        pip("install", "--no-deps", "--editable", str(ROOT))
        compile_modules()
    except (RuntimeError, OSError) as error:
        print(f"setup: {error}\nsetup: the whole log is {LOG}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    count, passed = len(list(metadata.distributions())), time.monotonic() - started
    print(f"setup: {count} packages are there, {duration(passed)}; the whole log is {LOG}")
    return 0


def install_dlib(kind: str) -> None:
    """Make sure that dlib's two distributions are never there at once: both are imported as dlib.

    The wheel's hash is checked. Where there is no wheel, and for `source`, dlib is compiled later,
    with the other packages. Raises RuntimeError where no compiler is found for that.
    """
    if kind == "wheel":
        install_wheel()
    if is_installed(WHEEL) and (kind == "source" or is_installed(COMPILED)):
        pip("uninstall", "--yes", COMPILED, WHEEL)
        if kind == "wheel":
            install_wheel()
    if not is_installed(WHEEL) and not is_installed(COMPILED):
        if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
            raise RuntimeError(NO_COMPILER.format("a C++ compiler"))
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise RuntimeError(NO_COMPILER.format("Python's header (Python.h)"))
        print("setup: dlib is compiled on this machine, which takes 6 to 15 minutes, once")


def install_wheel() -> None:
    """Does nothing where the marker in dlib-bin.txt says that there is no wheel."""
    try:
        pip("install", *CHECKED_WHEEL)
    except RuntimeError as error:
        if "find a version" not in str(error):
            raise
        raise RuntimeError(f"{error}. To compile dlib instead: make setup DLIB=source") from error


def compile_modules() -> None:
    """Turn all modules into bytecode, on all cores; pip would use one.

    Without this every start would compile what it imports, for as long as Python cannot or may
    not write bytecode (PYTHONDONTWRITEBYTECODE, a folder of another user). A file of a package that
    does not compile, an example of its tests say, is left as it is.
    """
    print("setup: modules are compiled, so that every start is quick")
    for folder in (sysconfig.get_path("purelib"), ROOT / "pipeline", ROOT / "stages"):
        compileall.compile_dir(folder, quiet=2, workers=0)


def is_installed(name: str) -> bool:
    return any(metadata.distributions(name=name))


def requirements(dlib: str, extras: Sequence[str]) -> list[str]:
    """What pyproject.toml asks for; for `source` with dlib and cmake in place of the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted: list[str] = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    if dlib == "wheel":
        return wanted
    without_wheel = [line for line in wanted if not line.startswith(WHEEL)]
    return [re.sub(r"^((?:dlib|cmake)\b[^;]*);.*", r"\1", line) for line in without_wheel]


def pip(*words: str) -> None:
    """Run pip with a short progress; what it prints goes to the log. Raises RuntimeError."""
    command = [sys.executable, "-u", "-m", "pip", *words, "--disable-pip-version-check"]
    progress = PipProgress()
    with (
        open(LOG, "a", encoding="utf-8") as log,
        subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
        progress,
    ):
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            progress.read(line)
            if not line.startswith("Progress "):
                log.write(line)
    if process.returncode:
        raise RuntimeError(progress.error or f"pip {words[0]} ended with {process.returncode}")


if __name__ == "__main__":
    sys.exit(main())
