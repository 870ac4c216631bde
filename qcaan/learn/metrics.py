"""How good generated images are: Inception Score, FID, precision, density, coverage, recall, classes, support, copies.

All figures but the distance to the nearest training image are computed in the feature space and with the classes of the
evaluation classifier, against real training images, the reference: at most 10,000 of them and at most half, evenly
spaced through the set; precision, recall, density and coverage against at most 5000 of those.

Beside each figure stands what real images get. `real`: the test images. `real_same_support`: as many distinct training
images as a prior of so many bits has bitstrings, what a perfect generator of them would get. They are outside the
reference: images that are themselves the reference are nearer to it than any others can be.

Why real images are measured in two forms: an exact figure, a sum over all images with their probabilities, and one of
a sample are different estimators. A sample's FID is higher, its Inception Score lower, the more so the smaller it is.
So images that were enumerated stand beside real ones that were ("exact"), images that were drawn beside 10,000 that
were drawn ("sampled"). The test images are a sample of what nobody can enumerate: in both forms their FID is that of a
sample.

Why memorisation is measured between pixels: a copy is a copy there, whatever a classifier makes of it, and a figure
that no network stands behind can be compared between reports. A generator that copies has distances near 0; one that
only learned has those of real test images.

Why recall counts different images alone, and none where they are few: it measures neighbourhoods of generated images,
which have radius zero around one that is repeated, and grow where images are few. So it takes as many different images
as there are of the reference, the first that come in 10,000 draws; a prior that repeats itself so often that fewer come
has no recall. An image that is drawn often counts as one that is drawn once, which coverage and effective support
mend.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qcaan.errors import DataError
from qcaan.execution.counts import IntArray
from qcaan.execution.progress import Work
from qcaan.learn.classifier import Classifier, load_classifier, train_classifier
from qcaan.learn.data import N_CLASSES, ImageArray, Images, LabelArray
from qcaan.learn.distributions import entropy_bits
from qcaan.learn.scores import (
    Features,
    FloatArray,
    different,
    frechet_distance,
    inception_score,
    moments,
    nearest_distances,
    neighbour_radii,
    neighbourhood_figures,
    percentile,
    recall,
    split_inception_scores,
)

N_REFERENCE = 10_000
N_NEIGHBOURS_SET = 5_000
N_DRAWS = 10_000
SUPPORT_BITS = range(1, 17)

Report = Callable[[Work], None]


@dataclass(frozen=True)
class Evaluation:
    """The figures of one set of images.

    `exact`: the images were weighted with the prior's probabilities, and nothing was sampled but what `recall` and
    `nearest_training_image` say; then `n_images` is the number of images of positive probability, and
    `inception_score_std` is 0. `inception_score`: mean over 10 splits (of the whole, when exact), 1 to 10, more is
    better. `fid`: 0 or more, less is better. `precision`, `coverage`: 0 to 1; `density`: about 1 for real images.
    `recall`: 0 to 1, or None where too few of 10,000 images differ. `effective_support`: exp of the entropy of the
    distribution over distinct images. `nearest_training_image`: mean distance of an image to the nearest training
    image, the Euclidean norm over pixels from 0 to 1; `nearest_training_image_p1`: its first percentile, where copies
    show. Both are of at most 2000 images: of all, or of as many drawn by a fixed seed. `label_accuracy`: the share of
    images that show the class that was asked for, None where none was. `class_balance`: the share of each class, as
    classified; `class_entropy_bits`: its entropy, at most log2(10) = 3.32. `classifier`: hash and test accuracy.
    `real`: the same figures for the real test images, exact or sampled as these are; empty where the classifier was
    trained and `with_real_figures` did not measure them. `real_same_support`: for as many distinct real training images
    as the prior has bitstrings, equally probable, in the same form, or None where the images are not known to come from
    1 to 16 bits alone.
    """

    inception_score: float
    inception_score_std: float
    fid: float
    precision: float
    density: float
    coverage: float
    recall: float | None
    distinct_images: int
    effective_support: float
    nearest_training_image: float
    nearest_training_image_p1: float
    class_balance: tuple[float, ...]
    class_entropy_bits: float
    n_images: int
    exact: bool
    classifier: Mapping[str, Any]
    real: Mapping[str, Any]
    real_same_support: Mapping[str, Any] | None
    label_accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate(
    images: ImageArray,
    data: Images,
    classifier: Classifier,
    weights: ArrayLike | None = None,
    *,
    n_bits: int | None = None,
    labels: LabelArray | None = None,
    report: Report | None = None,
) -> Evaluation:
    """The figures of images uint8 (n, 28, 28), at least 2, beside those of real images.

    With `weights` (n,), the probability of each image, the figures are exact, but for recall and the distance to the
    nearest training image, whose images are drawn where there are many. Coverage is then the expected coverage of as
    many draws as the reference has neighbourhoods. `n_bits`: of the prior, where each image is a function of a
    bitstring. `labels` (n,): the class that was asked for of each image. `report` is told how far each part is.

    Raises:
        DataError: the images have another shape or type, the weights are no distribution over them, the labels are not
            as many, the data have too few images, or the classifier was trained on other data.
    """
    if labels is not None and labels.shape != (len(images),):
        raise DataError(f"labels have shape {labels.shape}: one for each of the {len(images)} images is needed")
    figures = _figures(images, data, classifier, weights, report, labels)
    form = "exact" if figures["exact"] else "sampled"
    alike = classifier.real_by_bits.get(str(n_bits))
    return Evaluation(
        **figures,
        classifier={"hash": classifier.hash, "test_accuracy": classifier.test_accuracy},
        real=classifier.real.get(form, {}),
        real_same_support=alike[form] if alike else None,
    )


def with_real_figures(classifier: Classifier, data: Images, report: Report | None = None) -> Classifier:
    """The classifier with the figures of real images measured; `report` is told how far each part is.

    `real_by_bits`: for 1 to 16 bits, of 2**bits training images outside the reference, or all of these if there are
    fewer, the first of one random order: "exact", with equal weights, and "sampled", in 10,000 draws. `real`: of the
    test images, at most 10,000 of them. They are draws already, so their two forms differ by the Inception Score alone:
    "exact" is that of the whole, "sampled" a mean over splits.

    Raises:
        DataError: the data have too few images, or the classifier was trained on other data.
    """
    rng = np.random.default_rng(0)

    def even(images: ImageArray) -> dict[str, Any]:
        return _figures(images, data, classifier, np.full(len(images), 1 / len(images)), report)

    outside = rng.permutation(np.setdiff1d(np.arange(len(data.train)), _reference_images(data)))
    by_bits: dict[str, dict[str, Any]] = {}
    for n_bits in SUPPORT_BITS:
        images = data.train[outside[: 2**n_bits]]
        known = by_bits.get(str(n_bits - 1))
        if known is None or known["exact"]["n_images"] < len(images):
            drawn = images[rng.integers(len(images), size=N_DRAWS)]
            known = {"exact": even(images), "sampled": _figures(drawn, data, classifier, None, report)}
        by_bits[str(n_bits)] = known
    tests = data.test[:N_REFERENCE]
    sampled = _figures(tests, data, classifier, None, report)
    score = inception_score(classifier.read(tests)[1], np.full(len(tests), 1 / len(tests)))
    exact = sampled | {"inception_score": score, "inception_score_std": 0.0}
    return replace(classifier, real={"exact": exact, "sampled": sampled}, real_by_bits=by_bits)


def classifier_for(data: Images, report: Report | None = None, epochs: int = 8) -> Classifier:
    """The classifier of a data set: the package's, or one that is trained once and kept in the user's cache folder.

    The folder is `$XDG_CACHE_HOME/qcaan/classifiers`, by default under `~/.cache`. `report` is told how the training
    stands, which takes a few minutes for as many images as MNIST has.

    Raises:
        DataError: the folder cannot be written, or holds a damaged classifier.
    """
    shipped = load_classifier()
    if shipped.data_checksum == data.checksum:
        return shipped
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "qcaan" / "classifiers" / data.checksum[:16]
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
        except OSError as error:
            remedy = "set XDG_CACHE_HOME to a folder of yours"
            raise DataError(f"the classifier of '{data.name}' cannot be kept in {folder}: {error}; {remedy}") from error
        try:
            with_real_figures(train_classifier(data, epochs=epochs, report=report), data, report).save(draft)
            if not folder.exists():  # else another process was faster: one classifier serves all
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return load_classifier(folder)


def _figures(
    images: ImageArray,
    data: Images,
    classifier: Classifier,
    weights: ArrayLike | None,
    report: Report | None,
    labels: LabelArray | None = None,
) -> dict[str, Any]:
    """Of one set of images, as `Evaluation` names them, without what they are compared with."""
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) < 2:
        raise DataError(f"images are {images.dtype} {images.shape}: at least two uint8 images of 28 x 28 are needed")
    if classifier.data_checksum != data.checksum:
        raise DataError(
            f"the classifier was trained on '{classifier.data_name}', the data are '{data.name}': "
            "train a classifier on these data"
        )
    exact = weights is not None
    p = np.full(len(images), 1 / len(images)) if weights is None else _distribution(weights, len(images))
    if exact:
        labels = None if labels is None else labels[p > 0]
        images, p = images[p > 0], p[p > 0]
    first, which = different(images)
    features, classes = classifier.read(images[first], report=report)
    features, classes = features[which], classes[which]
    reference = _reference(data, classifier)
    score, deviation = (inception_score(classes, p), 0.0) if exact else split_inception_scores(classes)
    mean, covariance = moments(features, p)
    if not exact:
        covariance *= len(images) / (len(images) - 1)
    rng = np.random.default_rng(0)
    draws = rng.choice(len(images), N_DRAWS, p=p) if exact else rng.permutation(len(images))[:N_DRAWS]
    if exact:
        chosen, q = np.arange(len(images)), p
    else:
        chosen = draws[:N_NEIGHBOURS_SET]
        q = np.full(len(chosen), 1 / len(chosen))
    precision, density, coverage = neighbourhood_figures(
        features[chosen], q, reference.neighbours, reference.radii, exact, report
    )
    distances, odds = nearest_distances(images, p, data, report)
    shares = np.bincount(which, p).astype(np.float64)
    balance = np.bincount(classes.argmax(1), p, N_CLASSES).astype(np.float64)
    asked = {} if labels is None else {"label_accuracy": float(p @ (classes.argmax(1) == labels))}
    return asked | {
        "inception_score": score,
        "inception_score_std": deviation,
        "fid": frechet_distance(mean, covariance, reference.mean, reference.covariance),
        "precision": precision,
        "density": density,
        "coverage": coverage,
        "recall": _recall(features[draws], which[draws], reference, report),
        "distinct_images": len(shares),
        "effective_support": float(np.exp(-(shares * np.log(shares)).sum())),
        "nearest_training_image": float(odds @ distances),
        "nearest_training_image_p1": percentile(distances, odds),
        "class_balance": tuple(balance.tolist()),
        "class_entropy_bits": entropy_bits(balance),
        "n_images": len(images),
        "exact": exact,
    }


@dataclass(frozen=True, eq=False)
class _Reference:
    mean: FloatArray
    covariance: FloatArray
    neighbours: Features
    radii: NDArray[np.float32]


def _reference_images(data: Images) -> IntArray:
    """Indices of the training images that all figures refer to: evenly spaced, whatever the order of the set.

    Raises:
        DataError: too few images to leave some outside.
    """
    if len(data.train) < 4:
        raise DataError(f"'{data.name}' has {len(data.train)} training images: at least 4 are needed for scores")
    return np.linspace(0, len(data.train) - 1, min(N_REFERENCE, len(data.train) // 2)).astype(np.int64)


@lru_cache(maxsize=2)
def _reference(data: Images, classifier: Classifier) -> _Reference:
    chosen = _reference_images(data)
    features, _ = classifier.read(data.train[chosen])
    mean, covariance = moments(features, np.full(len(chosen), 1 / len(chosen)))
    neighbours = features[np.random.default_rng(0).permutation(len(chosen))[:N_NEIGHBOURS_SET]]
    return _Reference(mean, covariance * len(chosen) / (len(chosen) - 1), neighbours, neighbour_radii(neighbours))


def _recall(features: Features, which: IntArray, reference: _Reference, report: Report | None) -> float | None:
    """Of the first different images among draws (n,), `which` each is; None if they are too few."""
    first = np.sort(np.unique(which, return_index=True)[1])
    n = len(reference.neighbours)
    if len(first) < n:
        return None
    drawn = features[first[:n]]
    return recall(drawn, neighbour_radii(drawn), reference.neighbours, report)


def _distribution(weights: ArrayLike, n: int) -> FloatArray:
    p = np.asarray(weights, dtype=np.float64)
    if p.shape != (n,) or not np.isfinite(p).all() or (p < 0).any() or abs(p.sum() - 1) > 1e-6:
        raise DataError(
            f"weights of shape {p.shape} and sum {p.sum():.6g} are no distribution over {n} images: "
            "pass one probability an image, at least 0, that sum to 1"
        )
    normal: FloatArray = p / p.sum()
    return normal
