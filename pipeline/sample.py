"""What flows between stages: a picture with its key, its label and the facts found so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Facts = dict[str, Any]
Verdict = Literal["kept", "rejected", "error"]


class Reject(Exception):
    """A picture is not wanted: a short fixed word, and the measurement behind it.

    The word is a row of the table of reasons in README.md.
    """

    def __init__(self, reason: str, **measured: Any) -> None:
        super().__init__(reason, measured)
        self.reason = reason
        self.measured = measured


@dataclass(frozen=True)
class Sample:
    """One picture on its way through the stages.

    `key` is its path below the raw folder, with forward slashes; `file` is where its present
    bytes lie; `digest` is theirs ("" for a file of the user's, whose content is not yet known).
    A stage returns the sample unchanged, with more facts, or with other pixels.
    """

    key: str
    label: str
    file: Path
    facts: Facts = field(default_factory=dict)
    digest: str = ""
    encoded: bytes | None = None
    pixels: Image | None = None

    @cached_property
    def image(self) -> Image:
        """The picture, H×W×3 uint8 RGB, decoded on first use.

        Raises ValueError where the bytes are no picture, OSError where they cannot be read.
        """
        if self.pixels is not None:
            return self.pixels
        from pipeline.pictures import decode

        return decode(self.encoded if self.encoded is not None else self.file.read_bytes())

    def with_facts(self, **facts: Any) -> Sample:
        """The same picture, more known about it; what was decoded stays decoded."""
        return self._decoded(replace(self, facts={**self.facts, **facts}))

    def at(self, file: Path, digest: str) -> Sample:
        """The sample as it was written to a file; what that file decodes to stays decoded."""
        written = replace(self, file=file, digest=digest, encoded=None, pixels=None)
        if self.encoded is not None and self.pixels is not None:
            written.__dict__["image"] = self.pixels
            return written
        return self._decoded(written) if self.pixels is None else written

    def _decoded(self, copy: Sample) -> Sample:
        if "image" in self.__dict__:
            copy.__dict__["image"] = self.__dict__["image"]
        return copy

    def with_image(self, pixels: Image, **facts: Any) -> Sample:
        """The sample with other pixels (H×W×3 uint8 RGB), to be written as a JPEG."""
        return replace(self, pixels=pixels, encoded=None, facts={**self.facts, **facts})

    def with_bytes(self, encoded: bytes, pixels: Image, **facts: Any) -> Sample:
        """The sample with a ready JPEG for its file, and what that JPEG decodes to."""
        return replace(self, pixels=pixels, encoded=encoded, facts={**self.facts, **facts})


@dataclass(frozen=True)
class Decision:
    """What a whole-set stage says of one sample: kept (in the folder `within`) or rejected."""

    sample: Sample
    reject: Reject | None = None
    within: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one picture in one stage: a row of the ledger.

    `source` stamps the input it was made from, `stamp` what it hands on (bytes and facts);
    `facts` are JSON, as the record has them; `output` is relative to the processed folder; `detail`
    is the traceback of an error.
    """

    key: str
    label: str
    verdict: Verdict
    fingerprint: str
    source: str
    reason: str = ""
    facts: str = "{}"
    output: str = ""
    digest: str = ""
    stamp: str = ""
    detail: str = ""
