"""The stages in order, and the commands that use what they make. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import settings
from pipeline.reset import Reset
from pipeline.status import Status
from stages.commands.check import Check
from stages.commands.collect import Collect
from stages.commands.common import region_of
from stages.commands.credits import Credits
from stages.commands.doctor import Doctor
from stages.commands.evaluate import Evaluate
from stages.commands.export import Export
from stages.commands.face_models import FetchFaceModels
from stages.commands.frames import Frames
from stages.commands.import_set import ImportSet
from stages.commands.predict import Predict
from stages.commands.report import Report
from stages.commands.review import Review
from stages.commands.sample_data import SampleData
from stages.commands.serve import Serve
from stages.commands.sheet import Sheet
from stages.commands.train import Train
from stages.dedupe import Dedupe
from stages.face.region import REGIONS, Region
from stages.face_crop import FaceCrop
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize
from stages.screen import Screen
from stages.split import Split


@dataclass(frozen=True)
class Row:
    """A stage. Its input is the row before it among the rows of the same region.

    `settings` is the stage's class, `folder` is where its pictures go, below `processed/`.
    A `whole_set` stage judges all pictures at once, the others judge one at a time.
    """

    name: str
    settings: type
    folder: str
    regions: tuple[Region, ...] = REGIONS
    whole_set: bool = False


@dataclass(frozen=True)
class Command:
    """A command. `settings` is its class: the fields are its flags, `run` does the work.

    With `after_stages`, all stages are brought up to date first. With `writes`, the command has
    the processed folder to itself.
    """

    name: str
    settings: type
    after_stages: bool = False
    writes: bool = False


STAGES = (
    Row("normalize", Normalize, "normalized"),
    Row("screen", Screen, "screened"),
    Row("dedupe", Dedupe, "unique", whole_set=True),
    Row("faces", Faces, "faces", regions=("lips", "face")),
    Row("face_crop", FaceCrop, "face_crops", regions=("face",)),
    Row("lips", Lips, "lips", regions=("lips",)),
    Row("split", Split, "dataset", whole_set=True),
)


def rows_for(common: settings.Common) -> list[Row]:
    """The rows of the region that the command line chose, in order."""
    region = region_of(common)
    return [row for row in STAGES if region in row.regions]


COMMANDS = (
    Command("collect", Collect),
    Command("frames", Frames),
    Command("import", ImportSet),
    Command("credits", Credits),
    Command("train", Train, after_stages=True, writes=True),
    Command("predict", Predict),
    Command("evaluate", Evaluate),
    Command("export", Export),
    Command("serve", Serve),
    Command("report", Report, writes=True),
    Command("review", Review),
    Command("sheet", Sheet),
    Command("sample-data", SampleData),
    Command("face-models", FetchFaceModels),
    Command("check", Check),
    Command("doctor", Doctor),
    Command("status", Status),
    Command("reset", Reset),
)
