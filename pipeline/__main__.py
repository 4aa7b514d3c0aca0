"""The command line: `python -m pipeline <stage>` brings that stage and all before it up to date."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import cast

from pipeline import files
from pipeline.context import Context, Runnable
from pipeline.executors import Executor
from pipeline.executors.processes import Processes
from pipeline.executors.ray import Ray
from pipeline.executors.serial import Serial
from pipeline.ledger import Ledger
from pipeline.runner import Runner
from pipeline.settings import Common, Settings, near_misses, read_table, resolve
from pipeline.step import Step
from pipeline.store.workbench import workbench_for
from pipeline.trouble import Trouble, Usage
from stages.commands.common import CommonWithRegion
from stages.table import COMMANDS, STAGES, rows_for

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
        table = read_table(Path.cwd(), kinds, CommonWithRegion)
        return _run(
            name, resolve(name, kinds[name], STAGE_KINDS, argv[1:], table, CommonWithRegion)
        )
    except Usage as usage:
        print(files.shown(str(usage)), file=sys.stderr)
        return 2
    except Trouble as trouble:
        print(files.shown(str(trouble)), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again, it goes on from here", file=sys.stderr)
        return 1


def _end(number: int, frame: FrameType | None) -> None:
    """Take a request to end (SIGTERM) like Ctrl-C: what is done stays done."""
    raise KeyboardInterrupt


def _run(name: str, settings: Settings) -> int:
    """Bring the stages up to date that the command needs, then run it; returns the exit code."""
    common = settings.common
    command = next((command for command in COMMANDS if command.name == name), None)
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    writes = command is None or command.writes
    with ExitStack() as stack:
        workbench = workbench_for(common.processed, common.scratch)
        if first and writes:
            stack.enter_context(workbench.hold())
        elif first:
            workbench.read()
        path = workbench.ledger
        there = first and (writes or path.exists())  # the other processes may be elsewhere
        ledger = stack.enter_context(Ledger(path if there else None))
        executor = stack.enter_context(_executor(common))
        runner = Runner(common.raw, workbench, ledger, executor, follow_links=common.follow_links)
        context = Context(settings, _steps(settings), ledger, runner, executor, workbench)
        errors = 0
        if first and (command is None or command.after_stages):
            errors = context.bring_up_to_date(_until(name, context.steps))
        if errors:
            log = workbench.errors
            print(f"{errors:,} in error, not counted as done: see {log}", file=sys.stderr)
        code = cast(Runnable, settings.own).run(context) if command else 0
        return code or int(errors > 0)


def _steps(settings: Settings) -> list[Step]:
    """The stages that the settings ask for, each taking from the one before it."""
    steps: list[Step] = []
    for row in rows_for(settings.common):
        before = steps[-1].name if steps else None
        steps.append(Step(row.name, settings.stages[row.name], row.folder, before, row.whole_set))
    return steps


def _until(name: str, steps: Sequence[Step]) -> list[Step]:
    """The steps up to a stage's place in the table, even where it is not one of them."""
    order = [row.name for row in STAGES]
    last = order.index(name) if name in order else len(order)
    return [step for step in steps if order.index(step.name) <= last]


def _executor(common: Common) -> Executor:
    if common.executor == "serial" or common.workers == 0:
        return Serial()
    if common.executor == "ray":
        return Ray(common.address, common.workers, common.timeout, common.memory)
    return Processes(common.workers, common.timeout, common.memory)


def _help() -> str:
    def lines(kinds: Mapping[str, type]) -> list[str]:
        return [
            f"  {name:<12} {(kind.__doc__ or '').strip().splitlines()[0]}"
            for name, kind in kinds.items()
        ]

    usage = "usage: python -m pipeline <stage or command> [flags]   (--help after it lists them)"
    stages = "Stages, in order; each brings itself and all before it up to date:"
    return "\n".join(
        [usage, "", stages, *lines(STAGE_KINDS), "", "Commands:", *lines(COMMAND_KINDS)]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
