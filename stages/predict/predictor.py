"""A trained model with all that belongs before it: from a picture to answers."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.sample import Image, Reject, Sample
from stages.face.crop import square
from stages.model import networks
from stages.predict.answers import Answer
from stages.predict.chain import Chain, Crop


class Predictor:
    """A trained model with all that belongs before it.

    >>> predictor = Predictor("processed/runs/default")            # doctest: +SKIP
    >>> image = predictor.read(Path("photo.jpg").read_bytes())     # doctest: +SKIP
    >>> [answer.label for answer in predictor(image)]              # doctest: +SKIP
    ['smile']

    Several threads may call it: they take turns at the landmarks, all else runs side by side.
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
            faces = self.chain.find(image)
        except Reject as reject:
            return self.answers([("", Crop({}, reason=reject.reason))])
        with self._one_at_a_time:
            crops = [self.chain.cut(image, face) for face in faces]
        return self.answers([("", crop) for crop in crops])

    def answers(self, crops: Sequence[tuple[str, Crop]]) -> list[Answer]:
        """An answer for each crop, in order; with each comes the name of its file.

        The network sees all of them in one batch.
        """
        answers = [
            Answer(file, self.labels, reason=crop.reason, facts=crop.facts) for file, crop in crops
        ]
        side = self._network.description.side
        images = {
            place: square(crop.image, side)
            for place, (_, crop) in enumerate(crops)
            if crop.image is not None
        }
        if images:
            shares = self._network(np.stack(list(images.values()))).tolist()
            for place, row in zip(images, shares, strict=True):
                answers[place] = replace(answers[place], shares=tuple(row))
        return answers
