"""A TFLite network, run by LiteRT: the runtime of the networks' own makers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.sample import Image
from pipeline.trouble import Trouble


class Network:
    """A network for inputs of `side` × `side` pixels, on one core. Not for two threads at once."""

    def __init__(self, path: Path, side: int) -> None:
        """Raises Trouble where `path` holds no network."""
        self._interpreter = _load(path, side)
        (self._input,) = (detail["index"] for detail in self._interpreter.get_input_details())
        self._outputs = [
            (detail["name"], detail["index"]) for detail in self._interpreter.get_output_details()
        ]

    def __call__(
        self, image: Image, scale: float, shift: float = 0.0
    ) -> dict[str, NDArray[np.float32]]:
        """The outputs by name for a side×side×3 uint8 picture, taken as scale × pixel + shift."""
        given = np.multiply(image[None], scale, dtype=np.float32)
        given += np.float32(shift)
        self._interpreter.set_tensor(self._input, given)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs}


def _load(path: Path, side: int) -> Any:
    """The interpreter with memory for its tensors. Raises Trouble."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with _without_stderr():  # LiteRT notes there that it is quick
            interpreter = Interpreter(str(path), num_threads=1)
            (given,) = interpreter.get_input_details()
            interpreter.resize_tensor_input(given["index"], [1, side, side, 3])
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise Trouble(f"{path} is no TFLite network: delete it and run `make setup`") from error
    return interpreter


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Drop what is printed past Python."""
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
