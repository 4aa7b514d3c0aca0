"""Which part of a picture a data set is made of."""

from __future__ import annotations

from typing import Literal, get_args

Region = Literal["lips", "face", "whole"]
REGIONS: tuple[Region, ...] = get_args(Region)
