"""What a picture's key tells: its label, and the split whose folder the user put it in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from pipeline.store import Place
from pipeline.trouble import Usage

SPLITS = ("train", "val", "test")
_SPLIT = re.compile(  # a group for each of SPLITS
    r"(?:(train|training|trn)"
    r"|(val|valid|validation|validate|dev|devel|development|eval|evaluation)"
    r"|(test|testing|tst|holdout|hold[ _-]out))"
    r"(?:[ _-]?(?:set|data|dataset|images|imgs|pictures|split))?(?:[ _-]?\d{4})?",
    re.IGNORECASE,
)

_SELECT = {chr(code) for code in range(0xFE00, 0xFE10)}  # variation selectors, which are invisible


def label_of(key: str) -> str:
    """First folder of a key, or the second where the first is a split; "" where there is none.

    A tar is no label.

    >>> label_of("Validation/smile/1.jpg"), label_of("smile/b/1.jpg"), label_of("1.jpg")
    ('smile', 'smile', '')
    """
    folders = key.split("/")[:-1]
    if folders and split_named(folders[0]):
        folders = folders[1:]
    return folders[0] if folders and not folders[0].endswith(".tar") else ""


def split_of(key: str) -> str:
    """The split whose folder the user put a picture in: "train", "val", "test", or "".

    >>> split_of("Validation/smile/1.jpg"), split_of("smile/1.jpg")
    ('val', '')
    """
    first, _, rest = key.partition("/")
    return split_named(first) if "/" in rest else ""


@lru_cache(maxsize=1024)
def split_named(folder: str) -> str:
    """The split that a folder's name means; "" for none.

    >>> split_named("Training"), split_named("valid"), split_named("test_images")
    ('train', 'val', 'test')
    """
    match = _SPLIT.fullmatch(folder.strip())
    return SPLITS[(match.lastindex or 1) - 1] if match else ""


def splits_among(keys: Iterable[str]) -> dict[str, str]:
    """The first folders of keys that are taken as splits: the split by name of the folder."""
    first = {key.partition("/")[0] for key in keys if "/" in key}
    return {name: split for name in sorted(first) if (split := split_named(name))}


def require_clear(keys: Iterable[str], root: Place) -> None:
    """Raise Usage if the folders can be understood in two ways. `root` is named in the message.

    This is so if folders of splits and of labels lie side by side, if two folders mean one split,
    or if two labels look the same. A test folder beside labels is clear if it holds only them.
    """
    keys = list(keys)
    splits = splits_among(keys)
    for split in SPLITS:
        names = [name for name, means in splits.items() if means == split]
        if len(names) > 1:
            raise Usage(
                f"{root} has the folders {_some(names)}, which all mean {split}: merge them, or "
                "rename what is a label"
            )
    others = {key.partition("/")[0] for key in keys if "/" in key} - splits.keys()
    tested = {label_of(key) for key in keys if split_named(key.partition("/")[0]) == "test"}
    only_test = set(splits.values()) == {"test"} and tested <= others
    if splits and others and not only_test:
        raise Usage(
            f"{root} has the folders {_some(splits)}, which mean a split, beside {_some(others)}: "
            "move every label into the splits, or rename what is a label"
        )
    _require_different_looks({label_of(key) for key in keys}, root)


def _require_different_looks(labels: Iterable[str], root: Place) -> None:
    alike: dict[str, str] = {}
    for label in sorted(labels):
        other = alike.setdefault(_as_seen(label), label)
        if other != label:
            raise Usage(
                f"{root} has the labels {_spelled(other)} and {_spelled(label)}, which look the "
                "same: merge their folders, or rename one"
            )


def _as_seen(label: str) -> str:
    """A text that is the same for labels that look alike.

    Capitals, forms of Unicode, invisible characters and the number of spaces make no difference.
    """
    plain = label
    for _ in range(2):  # casefold leaves some characters that NFKC changes once more
        plain = unicodedata.normalize("NFKC", plain).casefold()
    visible = (char for char in plain if unicodedata.category(char) != "Cf" and char not in _SELECT)
    return " ".join("".join(visible).split())


def _spelled(label: str) -> str:
    return repr(label) if label.isascii() else f"{label!r} ({label!a})"


def _some(names: Iterable[str]) -> str:
    chosen = sorted(names)
    return ", ".join(chosen[:5]) + (f" and {len(chosen) - 5} more" if len(chosen) > 5 else "")
