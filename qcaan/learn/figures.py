"""How an evaluation's figures are called and shown, in the terminal and on a run's page."""

from collections.abc import Iterator, Mapping
from typing import Any

FIGURES = {
    "inception_score": ("Inception Score", "more is better; ± over ten parts of a sample"),
    "fid": ("FID", "less is better"),
    "precision": ("precision", "share of digits that look real"),
    "density": ("density", "about 1 for real images"),
    "recall": ("recall", "share of real images within the range of the digits"),
    "coverage": ("coverage", "share of real images that are imitated"),
    "class_entropy_bits": ("class balance", "entropy of the classes, at most log2 10 = 3.322 bits"),
    "label_accuracy": ("label accuracy", "share of digits that show the class asked for"),
    "distinct_images": ("distinct images", ""),
    "effective_support": ("effective support", "distinct images, weighted"),
    "nearest_training_image": ("nearest training image", "mean distance in pixels; copies are at 0"),
    "nearest_training_image_p1": ("the nearest 1 %", "that distance of the first percentile"),
    "n_images": ("images scored", ""),
}
"""Key in `eval/...` -> (label, meaning), in the order of a table."""


def columns(figures: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is shown side by side of an evaluation's figures: name of a column -> its figures."""
    found = {"generated": figures, "real test data": figures["real"]}
    if figures["real_same_support"]:
        found["as many real images"] = figures["real_same_support"]
    return found


def table_rows(compared: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, list[str], str]]:
    """Label, values and meaning of each figure that was measured, for the columns of `columns`."""
    for name, (label, meaning) in FIGURES.items():
        if name in compared["generated"] and any(column.get(name) is not None for column in compared.values()):
            yield label, [shown(column, name) for column in compared.values()], meaning


def shown(column: Mapping[str, Any], name: str) -> str:
    """A figure as text: a count in full, the rest to three decimals with their spread, a dash where there is none."""
    value, spread = column.get(name), column.get(f"{name}_std")
    if value is None:
        return "-"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
    return f"{text} ± {spread:.3f}" if spread else text


def footnote(figures: Mapping[str, Any]) -> str:
    """How the images were scored, and how many of each class they show."""
    n, n_real, card = figures["n_images"], figures["real"].get("n_images"), figures["classifier"]
    if figures["exact"]:
        how = "every image, weighted by the prior; the test images are a sample, which raises their FID"
    else:
        how = f"a sample of {n:,}"
        if n_real not in (None, n):
            how += f", beside {n_real:,} real images: of fewer images FID is higher, and coverage lower"
    classes = ", ".join(f"{label}: {share:.1%}" for label, share in enumerate(figures["class_balance"]))
    accuracy = f"test accuracy {card['test_accuracy']:.2%}"
    return f"Scored: {how}; classifier {card['hash'][:12]}, {accuracy}. Classes as it reads them: {classes}."
