"""The stages behind a model, put together from the model's description."""

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
from stages.model.description import Description
from stages.normalize import Normalize
from stages.predict.chain import Chain, Crop
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
    (crop,) = chain(sample)
    assert crop.image is not None and np.array_equal(crop.image, staged.image)
    assert {name: crop.facts[name] for name in ("crop", "landmarks")} == {
        name: staged.facts[name] for name in ("crop", "landmarks")
    }


def test_a_picture_without_a_crop_has_the_reason_and_the_facts_found_before_it() -> None:
    chain = Chain.of(DESCRIPTION)
    wall = encode(np.full((90, 90, 3), 99, np.uint8))
    assert chain(Sample("a", "", Path(), encoded=wall)) == [Crop({}, reason="no_face")]
    assert chain(Sample("a", "", Path(), encoded=b"")) == [Crop({}, reason="empty")]
    strict = replace(chain, crop=Lips(min_mouth=400))
    (crop,) = strict(Sample("a", "", Path(), encoded=encode(expression("smile"))))
    assert (crop.image, crop.reason) == (None, "mouth_too_small")
    assert crop.facts["mouth"] < 400
    assert len(crop.facts["face"]) == 4 and len(crop.facts["landmarks"]) == 68
