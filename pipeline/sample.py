"""A picture on its way through the stages, what is known of it, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict, cast

from pipeline.pictures import Image as Image
from pipeline.pictures import Picture
from pipeline.store import Place

Verdict = Literal["kept", "rejected", "error"]


class Facts(TypedDict, total=False):
    """What is known of a picture. Facts travel from stage to stage and end in the ledger as JSON.

    A fact has one meaning and one unit. A stage that adds a fact adds a line here.
    Boxes are [left, top, width, height] in pixels of the upright picture.
    """

    # decisions.csv of the processed folder
    by_hand: dict[str, Any]  # a person's decision, keep or drop, and the crop if it was set

    # sources.csv of the raw folder
    origin: dict[str, str]  # address, page, title, creator, licence and the like
    given_group: str  # what must not be divided: a film, a person, a sequence
    given_split: str  # the split that the makers of the set put it in

    # normalize
    format: str  # of the user's file: Pillow's name ("JPEG"), or the kind of a file never opened
    bytes: int  # size of the user's file
    frame: int  # which frame or page of the user's file was taken, from 0; only where not the first
    exif: str  # "unusable": the orientation in it could not be read
    icc: str  # "converted" to sRGB, or "unusable"
    width: int  # pixels of the upright picture
    height: int  # pixels
    spread: float  # standard deviation of its grey values, 0 to 127
    content: str  # digest that pictures of the same size and pixels share, 32 hex digits
    hashes: str  # perceptual hashes, 4 × uint64 for each crop, in base64; "" where it is too plain

    # dedupe and split
    group: str  # a name that pictures share which must not be divided by the split

    # split
    split: str  # the side that the picture lies on: "train", "val" or "test"

    # faces
    face: list[int]  # box of the largest face
    detector: str  # what found it: "haar" or "blazeface"
    faces: int  # how many were seen before the search ended

    # lips and face_crop
    landmarks: list[list[int]]  # 68 × [x, y] in pixels, in iBUG 300-W's order (lips only)
    lips: list[list[int]]  # 20 × [x, y] around the lips, in place of landmarks (FaceMesh alone)
    presence: float  # how sure FaceMesh is that it sees a face, 0 to 1 (lips only)
    agreement: float  # overlap of dlib's and FaceMesh's mouths, 0 to 1 (lips only)
    yaw: float  # degrees that the face is turned to a side; 0 is straight ahead (lips only)
    roll: float  # degrees that the head is tilted to a shoulder, clockwise (lips only)
    sharpness: float  # of the crop, about 1 where it is sharp (lips only)
    crop: list[int]  # box of the square that is cut out; it may reach out of the picture
    padded: float  # share of the square's area that lies outside the picture, 0 to 1

    # measurements behind a rejection
    megapixels: float  # too_large
    megabytes: float  # too_large
    memory_gigabytes: float  # too_large: what decoding would take
    decoder: str  # truncated, corrupt, too_large: the decoder's own words
    aspect: float  # odd_aspect: long side over short side
    side: int  # too_small: short side in pixels; too_large: long side
    of: str | list[str]  # duplicate: key of the picture kept; conflicting_label: keys of the others
    distance: int  # duplicate: bits of 256 in which the hashes differ
    kind: str  # duplicate: "exact" (the same pixels) or "near"
    mouth: int  # mouth_too_small: width in pixels


class Reject(Exception):
    """Raised by a stage that drops a picture: the reason, and the measurements behind it.

    The reason is a fixed word, a row of the table of reasons in README.md. The measurements are
    recorded with the facts.
    """

    def __init__(self, reason: str, **measured: Any) -> None:
        super().__init__(reason, measured)
        self.reason = reason
        self.measured = cast(Facts, measured)


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture on its way through the stages.

    `key` is its path below the raw folder, with forward slashes. `file` is where its present
    bytes lie, `digest` names them ("" for one of the user's files: its content is not yet known).
    `encoded` is a ready JPEG and `pixels` are H×W×3 uint8 RGB that no file holds yet.
    A stage returns the sample unchanged, with more facts, or with other pixels.
    """

    key: str
    label: str
    file: Place
    facts: Facts = field(default_factory=Facts)
    digest: str = ""
    encoded: bytes | None = None
    pixels: Image | None = None
    picture: Picture | None = field(default=None, repr=False, compare=False)
    """Decodes the picture once for all samples that share it; made from the other fields."""

    def __post_init__(self) -> None:
        if self.picture is None:
            ready = self.encoded if self.pixels is None else self.pixels
            picture = Picture(self.file if ready is None else ready)
            object.__setattr__(self, "picture", picture)  # as frozen dataclasses set a field

    @property
    def image(self) -> Image:
        """The picture, H×W×3 uint8 RGB, decoded at the first use.

        Raises ValueError if the bytes are not a picture, OSError if they cannot be read.
        """
        return cast(Picture, self.picture).pixels

    def with_facts(self, **facts: Any) -> Sample:
        """The same picture with more facts."""
        return replace(self, facts=self._facts_and(facts))

    def with_only(self, names: frozenset[str]) -> Sample:
        """The same picture without its other facts."""
        facts = {name: fact for name, fact in self.facts.items() if name in names}
        return replace(self, facts=cast(Facts, facts))

    def with_image(self, pixels: Image, **facts: Any) -> Sample:
        """The sample with other pixels (H×W×3 uint8 RGB), to be written as a JPEG."""
        facts_now = self._facts_and(facts)
        return replace(self, pixels=pixels, encoded=None, picture=None, facts=facts_now)

    def with_bytes(self, encoded: bytes, pixels: Image, **facts: Any) -> Sample:
        """The sample with a ready JPEG for its file, and the pixels that it decodes to."""
        facts_now = self._facts_and(facts)
        return replace(self, pixels=pixels, encoded=encoded, picture=None, facts=facts_now)

    def at(self, file: Place, digest: str) -> Sample:
        """The sample as it was written to a file. Pixels stay decoded if the file has the same."""
        lossy = self.pixels is not None and self.encoded is None
        picture = None if lossy else self.picture
        return replace(self, file=file, digest=digest, encoded=None, pixels=None, picture=picture)

    def _facts_and(self, more: dict[str, Any]) -> Facts:
        return cast(Facts, {**self.facts, **more})


@dataclass(frozen=True, slots=True)
class Decision:
    """A whole-set stage's verdict on one sample: kept, in the folder `within`, or rejected."""

    sample: Sample
    reject: Reject | None = None
    within: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one picture in one stage: a row of the ledger.

    `source` is the stamp of the input, `stamp` names what the stage hands on (bytes and facts).
    `facts` are JSON. `output` is relative to the processed folder and `digest` names its bytes.
    `detail` is the traceback of an error.
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
