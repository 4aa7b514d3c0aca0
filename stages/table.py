"""The ordered table of stages, and the commands that use what they make. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.settings import REGIONS, Region
from stages.commands.doctor import Doctor
from stages.commands.evaluate import Evaluate
from stages.commands.export import Export
from stages.commands.face_models import FetchFaceModels
from stages.commands.predict import Predict
from stages.commands.sample_data import SampleData
from stages.commands.serve import Serve
from stages.commands.sheet import Sheet
from stages.commands.train import Train
from stages.dedupe import Dedupe
from stages.face_crop import FaceCrop
from stages.faces import Faces
from stages.lips import Lips
from stages.normalize import Normalize
from stages.screen import Screen
from stages.split import Split


@dataclass(frozen=True)
class Row:
    """A stage in the table; its input is the row before it in the same region."""

    name: str
    settings: type
    folder: str
    regions: tuple[Region, ...] = REGIONS
    whole_set: bool = False


STAGES = (
    Row("normalize", Normalize, "normalized"),
    Row("screen", Screen, "screened"),
    Row("dedupe", Dedupe, "unique", whole_set=True),
    Row("faces", Faces, "faces", regions=("lips", "face")),
    Row("face_crop", FaceCrop, "face_crops", regions=("face",)),
    Row("lips", Lips, "lips", regions=("lips",)),
    Row("split", Split, "dataset", whole_set=True),
)
"""Picture stages in order. Each brings its folder below `processed/` up to date."""

COMMANDS = {
    "train": Train,
    "predict": Predict,
    "evaluate": Evaluate,
    "export": Export,
    "serve": Serve,
    "sheet": Sheet,
    "sample-data": SampleData,
    "face-models": FetchFaceModels,
    "doctor": Doctor,
}
"""Everything else on the command line, by name."""
