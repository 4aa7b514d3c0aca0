"""The flags that every stage and command has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from pipeline import settings
from stages.face.region import Region


@dataclass(frozen=True)
class CommonWithRegion(settings.Common):
    region: Region = "lips"
    """What is cut out: the mouth, the face, or nothing (the pictures are crops already)."""


def region_of(common: settings.Common) -> Region:
    """The region that the command line chose."""
    return cast(CommonWithRegion, common).region
