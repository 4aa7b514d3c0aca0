"""The command line: `python -m pipeline <stage>` brings that stage and all before it up to date."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import cast

from pipeline import files
from pipeline.context import Context, Runnable
from pipeline.executors import Executor
from pipeline.executors.processes import Processes
from pipeline.executors.serial import Serial
from pipeline.ledger import Ledger
from pipeline.runner import Runner
from pipeline.settings import Common, Settings, near_misses, read_table, resolve
from pipeline.step import Step
from pipeline.trouble import Trouble, Usage
from stages.table import COMMANDS, STAGES

STAGE_KINDS = {row.name: row.settings for row in STAGES}
COMMAND_KINDS = {command.name: command.settings for command in COMMANDS}


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code (0 done, 1 failed or some errors, 2 wrong usage)."""
    signal.signal(signal.SIGTERM, _end)
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print(_help())
            return 0
        name, kinds = argv[0], {**STAGE_KINDS, **COMMAND_KINDS}
        if name not in kinds:
            raise Usage(f"{name!r} is no stage and no command; {near_misses(name, kinds)}")
        settings = resolve(name, kinds[name], STAGE_KINDS, argv[1:], read_table(Path.cwd(), kinds))
        return _run(name, settings)
    except Usage as usage:
        print(files.shown(str(usage)), file=sys.stderr)
        return 2
    except Trouble as trouble:
        print(files.shown(str(trouble)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again, it goes on from here", file=sys.stderr)
        return 1


def _run(name: str, settings: Settings) -> int:
    common = settings.common
    command = next((command for command in COMMANDS if command.name == name), None)
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    stages = first and (command is None or command.after_stages)
    with ExitStack() as stack:
        if first and (command is None or command.writes):
            stack.enter_context(files.hold(common.processed))
        path = common.processed / "ledger.sqlite"
        recorded = path.exists() or command is None or command.writes
        ledger = stack.enter_context(Ledger(path if recorded else None))
        executor = stack.enter_context(_executor(common))
        runner = Runner(
            common.raw, common.processed, ledger, executor, follow_links=common.follow_links
        )
        context = Context(settings, _steps(settings), ledger, runner, executor)
        errors = 0
        if stages:
            errors = context.bring_up_to_date(_until(name, context.steps))
        if errors:
            log = common.processed / "errors.log"
            print(f"{errors:,} in error, not counted as done: see {log}", file=sys.stderr)
        code = cast(Runnable, settings.own).run(context) if command else 0
        return code or int(errors > 0)


def _end(number: int, frame: FrameType | None) -> None:
    """A polite request to end is taken as Ctrl-C is: what is done stays done."""
    raise KeyboardInterrupt


def _steps(settings: Settings) -> list[Step]:
    """The region's stages, each taking from the one before it."""
    steps: list[Step] = []
    for row in STAGES:
        if settings.common.region in row.regions:
            before = steps[-1].name if steps else None
            stage = settings.stages[row.name]
            steps.append(Step(row.name, stage, row.folder, before, row.whole_set))
    return steps


def _until(name: str, steps: Sequence[Step]) -> list[Step]:
    """The steps up to a stage's place in the table, whether or not the region has that stage."""
    order = [row.name for row in STAGES]
    last = order.index(name) if name in order else len(order)
    return [step for step in steps if order.index(step.name) <= last]


def _executor(common: Common) -> Executor:
    if common.executor == "serial" or common.workers == 0:
        return Serial()
    return Processes(common.workers, common.timeout, common.memory)


def _help() -> str:
    def first_line(kind: type) -> str:
        return (kind.__doc__ or "").strip().splitlines()[0]

    lines = ["usage: python -m pipeline <stage or command> [flags]   (--help after it lists them)"]
    lines += ["", "Stages, in order; each brings itself and all before it up to date:"]
    lines += [f"  {name:<12} {first_line(kind)}" for name, kind in STAGE_KINDS.items()]
    lines += ["", "Commands:"]
    lines += [f"  {name:<12} {first_line(kind)}" for name, kind in COMMAND_KINDS.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
