"""The stages behind a model, put together from what the model says of itself."""

from __future__ import annotations

import pickle
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from small_faces import expression

from pipeline.pictures import encode
from pipeline.sample import Sample
from pipeline.trouble import Trouble
from stages.face_crop import FaceCrop
from stages.faces import Faces
from stages.lips import Lips
from stages.model.model_file import Description
from stages.normalize import Normalize
from stages.predict.chain import Chain
from stages.training.recipes import Recipe

STAGES = {"normalize": asdict(Normalize()), "faces": asdict(Faces()), "lips": asdict(Lips())}
DESCRIPTION = Description(["a", "b"], "lips", STAGES, Recipe(), 128, 0, "", {}, {})


def test_the_settings_are_the_model_s() -> None:
    stages = {**STAGES, "lips": asdict(Lips(scale=2.0))}
    assert Chain.of(replace(DESCRIPTION, stages=stages)).crop == Lips(scale=2.0)
    face = {"faces": asdict(Faces()), "face_crop": asdict(FaceCrop(size=64))}
    assert Chain.of(replace(DESCRIPTION, stages=face)).crop == FaceCrop(size=64)
    whole = Chain.of(replace(DESCRIPTION, stages={}))
    assert (whole.faces, whole.crop) == (None, None)


@pytest.mark.parametrize("settings", [{"colour": 1}, {"scale": -1.0}])
def test_settings_that_do_not_fit_are_one_sentence(settings: dict[str, float]) -> None:
    with pytest.raises(Trouble, match="the model's settings do not fit this version"):
        Chain.of(replace(DESCRIPTION, stages={**STAGES, "lips": settings}))


def test_the_crop_is_what_the_stages_cut_one_after_the_other() -> None:
    sample = Sample("a.jpg", "", Path(), encoded=encode(expression("smile")))
    staged = Lips()(Faces()(Normalize()(sample)))
    chain = pickle.loads(pickle.dumps(Chain.of(DESCRIPTION)))  # noqa: S301 (as for a worker)
    ((facts, crop),) = chain(sample)
    assert np.array_equal(crop, staged.image)
    assert (facts["crop"], facts["landmarks"]) == (staged.facts["crop"], staged.facts["landmarks"])


def test_what_gives_no_crop_gives_its_reason_and_how_far_it_came() -> None:
    chain = Chain.of(DESCRIPTION)
    wall = encode(np.full((90, 90, 3), 99, np.uint8))
    assert chain(Sample("a", "", Path(), encoded=wall)) == [({}, "no_face")]
    assert chain(Sample("a", "", Path(), encoded=b"")) == [({}, "empty")]
    strict = replace(chain, crop=Lips(min_mouth=400))
    ((facts, reason),) = strict(Sample("a", "", Path(), encoded=encode(expression("smile"))))
    assert reason == "mouth_too_small"
    assert facts["mouth"] < 400 and len(facts["face"]) == 4 and len(facts["landmarks"]) == 68
