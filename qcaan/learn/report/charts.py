"""Line charts as SVG text that takes the page's colours, so that one picture serves light, dark and paper."""

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]
INK = "#010203"
"""Stands for the page's text colour until the picture is written; matplotlib knows no `currentColor`."""
COLOURS = ("#2f7ed8", "#d9730d", "#3a9a5b", "#a05bc4")
"""Distinct with every common colour blindness, and readable on white and on black."""


@dataclass(frozen=True)
class Chart:
    """Lines by label, and labelled horizontal lines for reference values."""

    title: str
    lines: Mapping[str, Points]
    references: Mapping[str, float]
    x_label: str = "step"
    y_label: str = ""
    steps: bool = False
    """Values that hold until the next one: money, shots."""
    bands: Mapping[str, Sequence[tuple[float, float, float]]] = field(default_factory=dict)
    """Label of a line -> (x, low, high): how uncertain it is."""

    @property
    def empty(self) -> bool:
        """Nothing to draw."""
        return not any(self.lines.values())

    def svg(self) -> str:
        """An inline `<svg>`; the same chart gives the same text."""
        with style(self.title):
            figure = Figure(figsize=(4.6, 2.7), layout="constrained")
            axes = figure.add_subplot()
            for (name, points), colour in zip(self.lines.items(), COLOURS * 3, strict=False):
                x, y = zip(*points, strict=True) if points else ((), ())
                marker = "o" if len(points) == 1 else ""
                drawn = "steps-post" if self.steps else "default"
                axes.plot(x, y, label=name, color=colour, lw=1.5, marker=marker, drawstyle=drawn)
                if band := self.bands.get(name):
                    x, low, high = zip(*band, strict=True)
                    axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
            for (name, value), dashes in zip(self.references.items(), ("--", ":"), strict=False):
                axes.axhline(value, color=INK, lw=1, ls=dashes, alpha=0.7, label=name)
            axes.set(title=self.title, xlabel=self.x_label, ylabel=self.y_label)
            if len(self.lines) + len(self.references) > 1:
                axes.legend(frameon=False, fontsize=8)
            return as_svg(figure)


def style(name: str) -> AbstractContextManager[None]:
    """Within it a picture is drawn like all others; `name` makes its inner names, unlike those of others."""
    ink = ("axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color", "legend.labelcolor")
    shape = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    settings: dict[Any, Any] = shape | dict.fromkeys(ink, INK) | {"svg.hashsalt": name}
    context: AbstractContextManager[None] = mpl.rc_context(settings)
    return context


def as_svg(figure: Figure) -> str:
    """An inline `<svg>`; the same figure gives the same text."""
    FigureCanvasSVG(figure)
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    picture = file.getvalue()
    return picture[picture.index("<svg") :].replace(INK, "currentColor")
