"""Training from shards: every picture once, equal parts for all processes, the same each time."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_sets import ALONE, SIDE, changed, epochs_in, flags, metrics_in, put, train
from torch import Tensor

from pipeline import files
from pipeline.sample import Sample
from pipeline.store import Address
from pipeline.trouble import Trouble
from stages.partition import shards
from stages.training.distributed import World
from stages.training.recipes import Recipe
from stages.training.stream import Stream, batches_of

CPU = torch.device("cpu")
STREAMED = ("--split.format", "webdataset", "--split.shard-size", "100", "--stream", "64")
QUICK = ("--epochs", "3", "--batch", "20", "--optimizer", "sgd", "--lr", "0.05", "--name", "run")
PLAIN = Recipe(batch=10, crop_min=1, flip=0, rotate=0, colour=0, input_size=SIDE, resize=SIDE)


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    """230 pictures in four shards. The brightness of each tells it from all others."""
    folder = tmp_path_factory.mktemp("stream")
    samples = []
    for number in range(230):
        label, file = "ab"[number % 2], folder / f"{number}.jpg"
        assert cv2.imwrite(str(file), np.full((SIDE, SIDE, 3), number, np.uint8))
        content = files.digest(file.read_bytes())
        samples.append(Sample(f"{label}/{number}.jpg", label, file, {"split": "train"}, content))
    shards.pack(folder / "dataset", samples, 100)
    index = shards.read_index(folder / "dataset")
    assert len(index.shards) == 4
    return Stream(folder / "dataset", index.of("train"), [115, 115], SIDE, window=35)


def epoch(
    stream: Stream, recipe: Recipe = PLAIN, seed: int = 0, world: World | None = None
) -> list[Tensor]:
    """The numbers of the pictures of one epoch, batch by batch."""
    rng = torch.Generator().manual_seed(seed)
    source = batches_of(stream, 2, recipe, CPU, rng, world or World())
    steps, batches = source.epoch()
    seen = []
    for pictures, target, whole in batches:
        numbers = ((pictures.mean((1, 2, 3)) + 1) * 127.5).round().long()
        assert torch.equal(numbers % 2, target)
        assert whole == len(numbers) * (world or World()).size
        seen.append(numbers)
    assert len(seen) == steps
    return seen


def test_an_epoch_has_every_picture_once_and_labels_fit(stream: Stream) -> None:
    batches = epoch(stream)
    assert [len(batch) for batch in batches] == [10] * 23
    assert sorted(torch.cat(batches).tolist()) == list(range(230))


def test_the_order_depends_on_the_seed_alone(stream: Stream) -> None:
    first, same, other = (torch.cat(epoch(stream, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_pictures_are_shuffled_within_a_window(stream: Stream) -> None:
    """A window of 35 becomes one of 30, three batches, from a few shards in a row."""
    order = torch.cat(epoch(stream)).tolist()
    stored = {}
    for place, shard in enumerate(stream.shards):
        for data, _ in Stream(stream.folder, [shard], [], SIDE, 1).read([0], 0):
            stored[round(float(cv2.imdecode(np.frombuffer(data, np.uint8), 1).mean()))] = place
    for start in range(0, 210, 30):
        window = order[start : start + 30]
        assert len({stored[number] for number in window}) <= 2
        assert window != sorted(window)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_all_processes_have_as_many_batches_and_no_picture_twice(stream: Stream, size: int) -> None:
    parts = [epoch(stream, world=World(rank, size)) for rank in range(size)]
    each = 10 // size
    assert {len(part) for part in parts} == {230 // (each * size)}
    assert {len(batch) for part in parts for batch in part} == {each}
    seen = Counter(torch.cat([batch for part in parts for batch in part]).tolist())
    assert max(seen.values()) == 1 and len(seen) > 230 - each * size


def test_what_an_epoch_leaves_out_is_another_each_time(stream: Stream) -> None:
    recipe = Recipe(**{**PLAIN.__dict__, "batch": 50})
    left = [
        set(range(230)) - set(torch.cat(epoch(stream, recipe, seed)).tolist()) for seed in (0, 1)
    ]
    assert [len(numbers) for numbers in left] == [30, 30] and left[0] != left[1]


def test_labels_of_unequal_size_can_be_drawn_equally_often(stream: Stream) -> None:
    uneven = Stream(stream.folder, stream.shards, [23, 207], SIDE, 230)
    recipe = Recipe(**{**PLAIN.__dict__, "balance": "sampler"})
    drawn = Counter((torch.cat(epoch(uneven, recipe)) % 2).tolist())
    assert drawn[0] > 180  # each is as frequent here, but counts said that label 0 is rare


def test_a_shard_that_was_cut_ends_training_with_the_way_out(
    stream: Stream, tmp_path: Path
) -> None:
    for shard in stream.shards:
        data = (stream.folder / shard.name).read_bytes()
        (tmp_path / shard.name).write_bytes(data[: len(data) // 2])
    with pytest.raises(Trouble, match=r"train-00000\d\.tar cannot be read .*: delete it"):
        epoch(Stream(tmp_path, stream.shards, [115, 115], SIDE, 35))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    put(home / "raw", {"none": 130, "smile": 110})
    assert train(home, *QUICK, *STREAMED) == 0
    return home


def run_of(home: Path) -> Path:
    return home / "processed" / "runs" / "run"


def test_a_model_learns_from_shards(trained: Path) -> None:
    assert not list((trained / "processed" / "cache").glob("train-*"))
    last = metrics_in(run_of(trained))[-1]
    assert last["epoch"] == 3 and last["data/valacc"] > 0.9


def test_a_second_run_is_up_to_date(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(trained, *QUICK, *STREAMED) == 0
    assert "train: up to date" in capsys.readouterr().out


def test_an_interrupted_training_goes_on_to_the_same_weights(trained: Path, tmp_path: Path) -> None:
    put(tmp_path / "raw", {"none": 130, "smile": 110})
    short = [word if word != "3" else "2" for word in QUICK]
    level = ("--schedule", "constant")
    assert train(tmp_path, *short, *STREAMED, *level) == 0
    assert train(tmp_path, *QUICK, *STREAMED, *level, "--resume") == 0
    assert epochs_in(run_of(tmp_path)) == [1, 2, 3]
    resumed = load_file(run_of(tmp_path) / "last.safetensors")
    assert train(tmp_path, *QUICK, *STREAMED, *level, "--name", "whole") == 0
    whole = load_file(tmp_path / "processed" / "runs" / "whole" / "last.safetensors")
    assert not list(changed(resumed, whole))


def test_two_processes_train_together(tmp_path: Path) -> None:
    put(tmp_path / "raw", {"none": 130, "smile": 110})
    command = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    done = subprocess.run(
        [*command, "--nproc-per-node", "2", "-m", "pipeline", "train",
         *flags(tmp_path), *QUICK, *STREAMED],
        capture_output=True, text=True, timeout=300, env=ALONE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert metrics_in(run_of(tmp_path))[-1]["data/valacc"] > 0.9


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--stream", "64"), "--stream needs shards: add --split.format webdataset"),
        ((*STREAMED, "--batch", "1000"), "--batch must be 1 (the processes) to 216"),
        ((*STREAMED, "--folds", "2"), "goes with neither folds nor seeds"),
    ],
)
def test_what_cannot_be_streamed_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    put(tmp_path / "raw", {"none": 120, "smile": 120})
    assert train(tmp_path, *QUICK, *words) == 2
    assert message in capsys.readouterr().err


def test_memory_holds_two_windows_and_not_the_set(stream: Stream) -> None:
    large = Stream(stream.folder, stream.shards, [115, 115], 128, window=35)
    tracemalloc.start()
    epoch(large, Recipe(**{**PLAIN.__dict__, "resize": 48, "input_size": 48}))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.5 * len(stream) * 128 * 128 * 3


def test_shards_in_a_store_are_the_same_and_are_read(stream: Stream) -> None:
    folder = Address("memory://shards/dataset")
    samples = [
        Sample(
            f"{'ab'[number % 2]}/{number}.jpg",
            "ab"[number % 2],
            file,
            {"split": "train"},
            str(number),
        )
        for number in range(230)
        if (file := Path(str(stream.folder)).parent / f"{number}.jpg")
    ]
    shards.pack(folder, samples, 100)
    assert shards.packed(folder).whole
    for shard in stream.shards:
        assert (folder / shard.name).read_bytes() == (stream.folder / shard.name).read_bytes()
    there = Stream(folder, stream.shards, stream.counts, SIDE, stream.window)
    assert torch.equal(torch.cat(epoch(there)), torch.cat(epoch(stream)))
