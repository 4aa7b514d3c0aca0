"""What is in force: defaults of the dataclasses < pyproject.toml's table < the command line."""

from __future__ import annotations

import argparse
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass, replace
from keyword import iskeyword
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from tyro.constructors import PrimitiveConstructorSpec

from pipeline.store import Address, Place, place
from pipeline.trouble import Usage

PlaceFlag = Annotated[
    Path | Address,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PLACE",
        instance_from_str=lambda words: place(words[0]),
        is_instance=lambda value: isinstance(value, Path | Address),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""A flag that takes a local path or an address."""


@dataclass(frozen=True)
class Common:
    """What every command needs to know. A program may add fields of its own."""

    raw: PlaceFlag = Path("raw")
    """Your pictures, one folder a label; read, never written. A folder, or s3://bucket/…"""
    processed: PlaceFlag = Path("processed")
    """Everything made of them. A folder, or s3://bucket/…"""
    scratch: Path | None = None
    """A local folder for copies while processed lies in a store; unset is in ~/.cache."""
    follow_links: bool = False
    """Follow links that lead out of the raw folder; what they lead to is read, never written."""
    workers: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    """Worker processes; 0 does all the work in this one."""
    timeout: float = 30.0
    """Seconds that one picture may take in one stage; more is an error, timed_out."""
    memory: float = 1.5
    """Gigabytes that one worker may take; a picture that needs more fails alone."""
    executor: Literal["processes", "ray", "serial"] = "processes"
    """Who does the work: processes of this machine, a Ray cluster, or this process alone."""
    address: str | None = None
    """The Ray cluster (auto, HOST:PORT or ray://HOST:PORT), whose CPUs then count in place of
    --workers; unset starts Ray on this machine."""

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError("workers must be 0 or more")
        if self.timeout <= 0 or self.memory <= 0:
            raise ValueError("timeout and memory must be over 0")
        if self.address is not None and self.executor != "ray":
            raise ValueError("--address is a Ray cluster's: give --executor ray too")
        places = f"{self.raw} {self.processed}"
        if self.workers and "memory://" in places:
            raise ValueError("memory:// lies in this process alone: give --workers 0")
        raw, processed = _resolved(self.raw), _resolved(self.processed)
        if raw in (processed, *processed.parents) or processed in raw.parents:
            raise ValueError(f"raw ({raw}) and processed ({processed}) must lie apart")


@dataclass(frozen=True)
class Settings:
    """All settings of one command: the common ones, its own, and those of the stages before it."""

    common: Common
    own: Any
    stages: Mapping[str, Any]


def _resolved(path: Place) -> Place:
    return path if isinstance(path, Address) else path.resolve()


def near_misses(word: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or the whole choice where nothing is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"


def resolve(
    command: str,
    own: type,
    stages: Mapping[str, type],
    argv: Sequence[str],
    table: Mapping[str, Any],
    common: type[Common] = Common,
) -> Settings:
    """Settings of a command from its flags and pyproject's table.

    A stage's own settings are plain flags (`--scale 1.8`), those of others carry its name
    (`--lips.scale 1.8`). A field that is a dataclass is a group of plain flags. Raises Usage for
    a bad value; an unknown flag ends the program, code 2.
    """
    import tyro

    kinds = {"common": common, command: own, **stages}
    members: list[tuple[str, Any, Any]] = []
    for name, kind in kinds.items():
        mine = name in ("common", command)
        plain = (tyro.conf.arg(name=""), tyro.conf.OmitArgPrefixes)
        shape = Annotated[kind, *plain] if mine else kind
        default = _from_table(name, kind, table, argv if mine else ())
        members.append((_identifier(name), shape, field(default=default)))
    try:
        chosen: Any = tyro.cli(
            make_dataclass(_identifier(command), members, frozen=True),
            args=list(argv),
            prog=f"python -m pipeline {command}",
            description=own.__doc__,
        )
    except ValueError as error:
        raise Usage(str(error)) from error
    values = {name: getattr(chosen, _identifier(name)) for name in kinds}
    for name, stage in getattr(own, "stage_flags", {}).items():
        values[stage] = _handed_on(values[command], values[stage], name, stage)
    return Settings(values["common"], values[command], {name: values[name] for name in stages})


def _handed_on(own: Any, theirs: Any, name: str, stage: str) -> Any:
    """A stage's settings with a value that the command has a plain flag for, where it is set.

    Raises Usage where the stage's own flag says another.
    """
    flag, unset = name.replace("_", "-"), getattr(type(own)(), name)
    value, other = getattr(own, name), getattr(theirs, name)
    if value in (unset, other):
        return theirs
    if other != unset:
        raise Usage(f"--{flag} {value} and --{stage}.{flag} {other} differ: give one of them")
    try:
        return replace(theirs, **{name: value})
    except ValueError as error:
        raise Usage(str(error)) from error


def read_table(
    folder: Path, sections: Iterable[str], common: type[Common] = Common
) -> dict[str, Any]:
    """`[tool.pipeline]` of the folder's pyproject.toml; empty where there is none."""
    path = folder / "pyproject.toml"
    if not path.exists():
        return {}
    try:
        whole = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Usage(f"{path}: {error}") from error
    table = whole.get("tool", {}).get("pipeline", {})
    if not isinstance(table, dict):
        raise Usage(f"{path}: tool.pipeline must be a table of settings")
    for name, value in table.items():
        known = list(sections) if isinstance(value, dict) else _names(common)
        if name not in known:
            kind = "as a section" if isinstance(value, dict) else "as a setting"
            near = near_misses(name, known)
            raise Usage(f"{path}: tool.pipeline.{name} is unknown; {near} ({kind})")
    return table


def _names(kind: type) -> list[str]:
    """Names of a dataclass's fields."""
    return [entry.name for entry in fields(kind)]


def _identifier(name: str) -> str:
    plain = name.replace("-", "_")
    return f"{plain}_" if iskeyword(plain) else plain


def _from_table(name: str, kind: Any, table: Mapping[str, Any], argv: Sequence[str]) -> Any:
    """A dataclass's defaults (or those of the preset that is chosen) with the table's values."""
    where = "tool.pipeline" if name == "common" else f"tool.pipeline.{name}"
    section = table if name == "common" else table.get(name, {})
    if name == "common":
        section = {key: value for key, value in table.items() if not isinstance(value, dict)}
    base = _preset(kind, section, argv) if hasattr(kind, "preset") else kind()
    flat = _flat(base)
    for key in section:
        if key not in flat:
            raise Usage(f"pyproject.toml: {where}.{key} is unknown; {near_misses(key, flat)}")
    chosen = {
        key: fitted(f"pyproject.toml: {where}.{key}", value, *flat[key])
        for key, value in section.items()
    }
    try:
        return _with_values(base, chosen)
    except (ValueError, Usage) as error:
        raise Usage(f"pyproject.toml: {where}: {error}") from error


def _preset(kind: Any, section: Mapping[str, Any], argv: Sequence[str]) -> Any:
    """The defaults that flags then change, where a setting (`preset_field`) chooses them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument(f"--{kind.preset_field}", dest="name", nargs="?")
    chosen, _ = parser.parse_known_args(list(argv))
    return kind.preset(chosen.name or section.get(kind.preset_field))


def _flat(settings: Any) -> dict[str, tuple[Any, Any]]:
    """Value and type of each setting, also of those in groups."""
    hints = get_type_hints(type(settings))
    flat: dict[str, tuple[Any, Any]] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        flat |= _flat(value) if is_dataclass(value) else {entry.name: (value, hints[entry.name])}
    return flat


def _with_values(settings: Any, values: Mapping[str, Any]) -> Any:
    """The settings with some values put in, also into groups."""
    changed = {name: values[name] for name in values if hasattr(settings, name)}
    for entry in fields(settings):
        if is_dataclass(group := getattr(settings, entry.name)):
            changed[entry.name] = _with_values(group, values)
    return replace(settings, **changed)


def fitted(where: str, value: Any, default: Any, hint: Any) -> Any:
    """A value of the table as its field wants it; raises Usage where it is of another kind."""
    kinds = [kind for kind in get_args(hint) if kind is not NoneType]
    choice = get_args(hint) if get_origin(hint) is Literal else ()
    if choice and value not in choice:
        raise Usage(f"{where}: {value!r} is not one of {', '.join(map(repr, choice))}")
    optional = len(kinds) == 1 and NoneType in get_args(hint)
    kind = kinds[0] if optional else type(default)
    if Address in kinds and isinstance(value, str):
        return place(value)
    if (kind is float and type(value) is int) or (
        issubclass(kind, Path) and isinstance(value, str)
    ):
        return kind(value)
    if type(value) is not kind:
        raise Usage(f"{where}: {value!r} is not like {default!r}")
    return value
