"""A trained model with all that belongs before it: from a picture to answers."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.sample import Image, Reject, Sample
from stages.face.crop import square
from stages.model import networks
from stages.predict.answers import Answer
from stages.predict.chain import Chain, Cut


class Predictor:
    """A trained model with all that belongs before it.

    >>> predictor = Predictor("processed/runs/default")            # doctest: +SKIP
    >>> image = predictor.read(Path("photo.jpg").read_bytes())     # doctest: +SKIP
    >>> [answer.label for answer in predictor(image)]              # doctest: +SKIP
    ['smile']

    Safe to call from several threads: landmarks are found one picture at a time, all else runs
    side by side.
    """

    def __init__(self, model: str | Path, faces: Literal["largest", "all"] = "largest") -> None:
        """`model` is a run's folder, a .safetensors or an .onnx file; Trouble where it is none."""
        self._network = networks.load(Path(model))
        self.labels = self._network.description.labels
        self.chain = Chain.of(self._network.description, everyone=faces == "all")
        self._one_at_a_time = threading.Lock()

    def read(self, data: bytes) -> Image:
        """Bytes of a picture of any format to upright H×W×3 uint8 RGB; raises Reject."""
        return self.chain.normalize(Sample("picture", "", Path(), encoded=data)).image

    def __call__(self, image: Image) -> list[Answer]:
        """An answer for each face of an H×W×3 uint8 RGB picture, largest first; never empty."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f"a picture is H×W×3 uint8, not {image.dtype} of {image.shape}")
        try:
            boxes = self.chain.boxes(image)
        except Reject as reject:
            return self.answers([("", ({}, reject.reason))])
        with self._one_at_a_time:
            cuts = [self.chain.cut(image, box) for box in boxes]
        return self.answers(("", cut) for cut in cuts)

    def answers(self, cuts: Iterable[tuple[str, Cut]]) -> list[Answer]:
        """Answers for crops that the chain has cut, each with its file's name; one batch."""
        cuts = list(cuts)
        side = self._network.description.side
        crops = [square(crop, side) for _, (_, crop) in cuts if not isinstance(crop, str)]
        shares = iter(self._network(np.stack(crops)).tolist() if crops else [])
        return [
            Answer(name, self.labels, reason=crop, facts=facts)
            if isinstance(crop, str)
            else Answer(name, self.labels, tuple(next(shares)), facts=facts)
            for name, (facts, crop) in cuts
        ]
