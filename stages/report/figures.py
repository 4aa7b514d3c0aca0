"""Small plots as inline SVG, readable on light and dark ground."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY, ACCENT, OTHER = "#888888", "#d04a7b", "#3f8fb5"
SIZE = (4.2, 2.4)  # inches
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text, in the page's own font and colour
    "svg.hashsalt": "report",  # the same picture has the same bytes
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "font.size": 9,
}


def histogram(values: Sequence[float], name: str) -> Markup:
    """How often values occur; `name` tells what they are and their unit."""

    def draw(axes: Axes) -> None:
        axes.hist(values, bins=30, color=ACCENT)
        axes.set_xlabel(name)
        axes.set_ylabel("pictures")

    return _svg(draw, f"Histogram: {name}, {len(values):,} pictures")


def bars(counts: Mapping[str, int], name: str) -> Markup:
    """Counts by name, the largest on top."""

    def draw(axes: Axes) -> None:
        ordered = sorted(counts.items(), key=lambda item: item[1])
        drawn = axes.barh([label for label, _ in ordered], [n for _, n in ordered], color=ACCENT)
        axes.bar_label(drawn, fmt="{:,.0f}", padding=3)
        axes.margins(x=0.15)

    told = ", ".join(f"{label} {count:,}" for label, count in counts.items())
    return _svg(draw, f"{name}: {told}")


def curves(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Loss and accuracy of a run, epoch by epoch."""
    from stages.training.figures import curves as drawn

    last = rows[-1].get("data/valacc", 0.0)
    return _inline(
        lambda: drawn(rows), f"Curves of {len(rows)} epochs, accuracy at last {last:.1%}"
    )


def calibration(confidences: Sequence[float], right: Sequence[bool]) -> Markup:
    """How often answers of a confidence are right; on the diagonal they are as sure as they say."""

    def draw(axes: Axes) -> None:
        edges = np.linspace(0, 1, 11)
        bins = np.clip(np.digitize(confidences, edges) - 1, 0, 9)
        shown = [number for number in range(10) if (bins == number).any()]
        means = [np.mean(np.asarray(confidences)[bins == number]) for number in shown]
        shares = [np.mean(np.asarray(right)[bins == number]) for number in shown]
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        axes.plot(means, shares, "o-", color=ACCENT)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is right")

    return _svg(draw, "Calibration: the share of right answers by confidence")


def _svg(draw: Callable[[Axes], None], description: str) -> Markup:
    """A plot of one pair of axes."""
    from matplotlib.figure import Figure

    def plot() -> Figure:
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.add_subplot())
        return figure

    return _inline(plot, description)


def _inline(plot: Callable[[], Figure], description: str) -> Markup:
    """A figure as an <svg> element that a screen reader reads as `description`."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        plot().savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    start = Markup('<svg role="img" aria-label="{}"').format(description)
    return Markup(svg[svg.index("<svg") :].replace("<svg", start, 1))
