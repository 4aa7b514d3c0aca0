"""Copies among the user's files, and names that would be one."""

from __future__ import annotations

import os
from pathlib import Path

from small_files import put

from pipeline import files, twins


def test_copies_are_told_from_files_that_only_have_the_same_size(tmp_path: Path) -> None:
    long = bytes(200_000)
    for key, data in {
        "a/1.jpg": b"one",
        "a/2.jpg": b"two",
        "a/3.jpg": b"three",
        "b/1.jpg": b"one",
        "b/2.jpg": b"one",
        "b/4.jpg": long + b"4",
        "b/5.jpg": long + b"5",
        "b/6.jpg": long + b"4",
        "loose.jpg": b"one",
    }.items():
        put(tmp_path / key, data)
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    found = list(files.find(tmp_path))
    copies = twins.Copies(found)
    again = {file.key for file in found if copies.again(file.key)}
    assert again == {"b/1.jpg", "b/2.jpg", "b/6.jpg"}
    assert not copies.again("unknown.jpg")


def test_of_two_files_that_would_get_one_name_the_second_is_refused() -> None:
    keys = ("a/86483/x.jpg", "a/95239/x.jpg")  # found by trying: their digests begin alike
    assert files.output_name(keys[0]) == files.output_name(keys[1])
    others = ("a/1/x.jpg", "b/95239/x.jpg", "a/86483/y.jpg")
    found = (files.Found(key, key, "1:1") for key in (*keys, *others))
    refused = {key: one.refusal for key, one in twins.without_clashes(found).items()}
    assert refused == dict.fromkeys((*keys, *others), "") | {keys[1]: "name_clash"}
