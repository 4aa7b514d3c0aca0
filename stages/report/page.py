"""The report as one HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "page"


def render(values: Mapping[str, Any]) -> str:
    """The page. Every value is escaped but `Markup`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from stages.report.thumbnails import address, thumbnail

    style = Markup((PAGE / "report.css").read_text(encoding="utf-8"))
    environment = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html")
    return template.render(values, style=style, thumbnail=thumbnail, address=address)
