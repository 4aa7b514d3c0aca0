"""A picture that no worker has the memory for is refused before it is decoded."""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pillow_heif
import pytest
from small_files import PICTURE, normalize, saved

from pipeline.sample import Reject

pillow_heif.register_heif_opener(thumbnails=False)

FORMS = ("AVIF", "HEIF", "JPEG2000", "WEBP")


def refusals(folder: Path, gigabytes: float) -> list[Reject]:
    """What normalize raises for a picture of 1.2 megapixels in each format."""
    pictures = [saved(PICTURE.resize((1200, 1000)), form) for form in FORMS]
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 1e9), resource.RLIM_INFINITY))
    refused = []
    for data in pictures:
        try:
            normalize(folder, data)
        except Reject as reject:
            refused.append(reject)
    return refused


@pytest.mark.parametrize(("gigabytes", "count"), [(0.26, 4), (1.5, 0)])
def test_more_memory_than_a_worker_may_have_is_too_large(
    gigabytes: float, count: int, tmp_path: Path
) -> None:
    # In a process of its own, which keeps the limit.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        refused = process.submit(refusals, tmp_path, gigabytes).result()
    assert [reject.reason for reject in refused] == ["too_large"] * count
    assert all(0.26 < reject.measured["memory_gigabytes"] < 0.28 for reject in refused)
