"""README tells the truth: its reasons, targets and example are those of the program."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.executors.serial import Serial
from pipeline.ledger import Ledger
from pipeline.pictures import encode
from pipeline.runner import Runner
from pipeline.step import Step
from pipeline.workbench import Workbench
from stages.report.reasons import REASONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_table_of_reasons_is_the_program_s() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+)", README, re.M))
    raised: dict[str, str] = {}
    homes = dict.fromkeys(("reading", "damage", "memory", "raw", "listing", "film"), "normalize")
    homes["plausible"] = "lips"
    refusing = [ROOT / "pipeline" / name for name in ("raw.py", "listing.py")]
    for path in [*(ROOT / "stages").rglob("*.py"), *refusing]:
        text = path.read_text(encoding="utf-8")
        words = re.findall(r'Reject\(\s*"(\w+)"', text)
        if path in refusing:
            words = re.findall(r'"(bad_link|unreadable|not_a_file|no_label|name_clash)"', text)
        raised |= {word: homes.get(path.stem, path.stem) for word in words}
    assert told == raised


def test_every_target_is_told_and_every_told_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.M)) - {"help"}
    assert targets == set(re.findall(r"`make ([a-z-]+)", section("Targets")))


def test_make_alone_prints_help() -> None:
    done = subprocess.run(["make"], cwd=ROOT, text=True, capture_output=True, check=True)
    assert "clean-data" in done.stdout and "crop-lips" in done.stdout


def test_the_example_of_a_stage_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", section("Adding a stage"), re.S)
    assert code is not None
    (tmp_path / "sharp.py").write_text(code[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    kind = importlib.import_module("sharp").Sharp
    (tmp_path / "raw" / "a").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "raw" / "a" / "sharp.jpg").write_bytes(encode(noise))
    (tmp_path / "raw" / "a" / "dull.jpg").write_bytes(encode(noise // 64 + 100))
    processed = tmp_path / "processed"
    processed.mkdir()
    with Ledger(None) as ledger:
        bench = Workbench(processed)
        runner = Runner(tmp_path / "raw", bench, ledger, Serial(), say=lambda _: None)
        runner.run(Step("sharp", kind(), "sharp", None))
        assert ledger.counts("sharp") == (1, {"blurred": 1}, 0)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_what_readme_links_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_report_explains_reasons_as_the_readme_does() -> None:
    table = re.findall(r"^\| `(\w+)` \| \w+ \| (.*) \|$", README, re.M)
    assert {reason: text.replace("`", "") for reason, text in table} == REASONS
