"""How good generated images are: Inception Score, FID, precision, density, coverage, class balance, support, copies.

All figures but the distance to the nearest training image are computed in the feature space and with the classes of the
evaluation classifier, against real training images. `real` holds the same figures for the real test images, the values
to compare with; `real_same_support` those of as many distinct real training images as a prior of so many bits has
bitstrings: what a perfect generator of them would get.

Why our own few lines and not a library's: a discrete prior of b bits has at most 2^b images, so its figures can be
exact, a sum over all images with the prior's probabilities, where samples bias them. That needs weights, which no
library takes. The tests hold the unweighted figures against torchmetrics.

Why memorisation is measured between pixels: a copy is a copy there, whatever a classifier makes of it, and a figure
that no network stands behind can be compared between reports. A generator that copies has distances near 0; one that
only learned has those of real test images.

Why no recall: on repeated images its neighbourhoods have radius zero. Coverage tells the same and is well defined.

Sources: Salimans et al. 2016 (Inception Score), Heusel et al. 2017 (FID), Kynkäänniemi et al. 2019 (precision), Naeem
et al. 2020 (density, coverage).
"""

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qcaan.errors import DataError
from qcaan.execution.progress import Work, parts
from qcaan.learn.classifier import Classifier, load_classifier, train_classifier
from qcaan.learn.data import N_CLASSES, ImageArray, Images

FloatArray = NDArray[np.float64]
Features = NDArray[np.float32]

N_SPLITS = 10
N_REFERENCE = 10_000
N_NEIGHBOURS_SET = 5_000
N_COMPARED = 2_000
K = 5
CHUNK = 256
SUPPORT_BITS = range(1, 17)


@dataclass(frozen=True)
class Evaluation:
    """The figures of one set of images.

    `exact`: the images were weighted with the prior's probabilities, and nothing was sampled; then `n_images` is the
    number of images of positive probability, and `inception_score_std` is 0. `inception_score`: mean over 10 splits (of
    the whole, when exact), 1 to 10, more is better. `fid`: 0 or more, less is better. `precision`, `coverage`: 0 to 1;
    `density`: about 1 for real images. `effective_support`: exp of the entropy of the distribution over distinct
    images. `nearest_training_image`: mean distance of an image to the nearest training image, the Euclidean norm over
    pixels from 0 to 1; `nearest_training_image_p1`: its first percentile, where copies show. Both are of at most
    `N_COMPARED` images: of all, or of as many drawn by a fixed seed. `class_balance`: the share of each class, as
    classified. `classifier`: hash and test accuracy. `real`: the same figures for the real test images.
    `real_same_support`: for as many distinct real training images as the prior has bitstrings, equally probable, or
    None where the images are not known to come from 1 to 16 bits alone.
    """

    inception_score: float
    inception_score_std: float
    fid: float
    precision: float
    density: float
    coverage: float
    distinct_images: int
    effective_support: float
    nearest_training_image: float
    nearest_training_image_p1: float
    class_balance: tuple[float, ...]
    n_images: int
    exact: bool
    classifier: Mapping[str, Any]
    real: Mapping[str, Any]
    real_same_support: Mapping[str, Any] | None

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
    report: Callable[[Work], None] | None = None,
) -> Evaluation:
    """The figures of images uint8 (n, 28, 28), at least 2.

    With `weights` (n,), the probability of each image, the figures are exact: no image is sampled, but for the distance
    to the nearest training image of more than `N_COMPARED`. Coverage is then the expected coverage of as many draws as
    the reference has neighbourhoods. `n_bits`: of the prior, where each image is a function of a bitstring. `report` is
    told how far each part is.

    Raises:
        DataError: the images have another shape or type, the weights are no distribution over them, or the classifier
            was trained on other data.
    """
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
        images, p = images[p > 0], p[p > 0]
    features, classes = classifier.read(images, report=report)
    reference = _reference(data, classifier)
    score, deviation = (inception_score(classes, p), 0.0) if exact else split_inception_scores(classes)
    mean, covariance = moments(features, p)
    if not exact:
        covariance *= len(images) / (len(images) - 1)
    if exact:
        chosen, q = np.arange(len(images)), p
    else:
        chosen = np.random.default_rng(0).permutation(len(images))[:N_NEIGHBOURS_SET]
        q = np.full(len(chosen), 1 / len(chosen))
    precision, density, coverage = neighbourhood_figures(
        features[chosen], q, reference.neighbours, reference.radii, exact, report
    )
    distances, odds = nearest_distances(images, p, data, report)
    by_image: dict[bytes, float] = defaultdict(float)
    for image, share in zip(images, p, strict=True):
        by_image[image.tobytes()] += share
    shares = np.array(list(by_image.values()))
    return Evaluation(
        inception_score=score,
        inception_score_std=deviation,
        fid=frechet_distance(mean, covariance, reference.mean, reference.covariance),
        precision=precision,
        density=density,
        coverage=coverage,
        distinct_images=len(shares),
        effective_support=float(np.exp(-(shares * np.log(shares)).sum())),
        nearest_training_image=float(odds @ distances),
        nearest_training_image_p1=_percentile(distances, odds),
        class_balance=tuple(np.bincount(classes.argmax(1), p, N_CLASSES).tolist()),
        n_images=len(images),
        exact=exact,
        classifier={"hash": classifier.hash, "test_accuracy": classifier.test_accuracy},
        real=classifier.real,
        real_same_support=classifier.real_by_bits.get(str(n_bits)),
    )


def with_real_figures(classifier: Classifier, data: Images, report: Callable[[Work], None] | None = None) -> Classifier:
    """The classifier with the figures of real images measured; `report` is told how far each part is.

    `real`: of the test images, at most 10,000 of them. `real_by_bits`: for 1 to 16 bits, of 2**bits training images, or
    all of them if there are fewer, the first of one random order.
    """
    order = np.random.default_rng(0).permutation(len(data.train))
    by_bits: dict[str, dict[str, Any]] = {}
    for n_bits in SUPPORT_BITS:
        chosen = order[: 2**n_bits]
        known = by_bits.get(str(n_bits - 1))
        if known is None or known["n_images"] < len(chosen):
            even = np.full(len(chosen), 1 / len(chosen))
            known = _plain(evaluate(data.train[chosen], data, classifier, even, report=report))
        by_bits[str(n_bits)] = known
    real = _plain(evaluate(data.test[:N_REFERENCE], data, classifier, report=report))
    return replace(classifier, real=real, real_by_bits=by_bits)


def classifier_for(data: Images, report: Callable[[Work], None] | None = None, epochs: int = 8) -> Classifier:
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


def inception_score(classes: FloatArray, p: FloatArray) -> float:
    """Exponential of the mean divergence of class probabilities (n, 10) from their mean, images weighted with p."""
    tiny = np.finfo(np.float64).tiny
    marginal = p @ classes
    divergence = (classes * (np.log(np.maximum(classes, tiny)) - np.log(np.maximum(marginal, tiny)))).sum(1)
    return float(np.exp(p @ divergence))


def split_inception_scores(classes: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation over 10 splits, after a fixed shuffle: images may come sorted."""
    parts = np.array_split(np.random.default_rng(0).permutation(len(classes)), min(N_SPLITS, len(classes)))
    scores = [inception_score(classes[part], np.full(len(part), 1 / len(part))) for part in parts]
    return float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0


def moments(features: Features, p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean (d,) and covariance (d, d) of features (n, d) weighted with p (n,), in float64."""
    parts = [slice(start, start + 8 * CHUNK) for start in range(0, len(features), 8 * CHUNK)]
    mean: FloatArray = np.sum([p[part] @ features[part].astype(np.float64) for part in parts], axis=0)
    covariance = np.zeros((len(mean), len(mean)))
    for part in parts:
        centred = features[part] - mean
        covariance += (centred * p[part, None]).T @ centred
    return mean, covariance


def frechet_distance(mean: FloatArray, covariance: FloatArray, mean_2: FloatArray, covariance_2: FloatArray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    The trace of the root is that of the symmetric (C1^(1/2) C2 C1^(1/2))^(1/2), which survives singular covariances.
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariance_2 @ root)
    distance = np.square(mean - mean_2).sum() + np.trace(covariance) + np.trace(covariance_2)
    return float(max(0.0, distance - 2 * np.sqrt(np.maximum(cross, 0)).sum()))


def neighbourhood_figures(
    features: Features,
    p: FloatArray,
    real: Features,
    radii: NDArray[np.float32],
    exact: bool,
    report: Callable[[Work], None] | None = None,
) -> tuple[float, float, float]:
    """Precision, density and coverage of features (n, d) weighted with p (n,), by balls around real (m, d).

    A ball reaches to the k-th neighbour of its real image, `radii` (m,). Coverage: the share of balls with a generated
    image inside, or, if `exact`, its expectation over m draws from p.
    """
    inside_some, n_inside, ball_weight = 0.0, 0.0, np.zeros(len(real))
    limits = np.square(radii)
    for part in parts(len(features), CHUNK, "compare with real images", report):
        rows, weight = features[part], p[part]
        inside = squared_distances(rows, real) < limits
        n_balls = np.count_nonzero(inside, axis=1)
        inside_some += float(weight @ (n_balls > 0))
        n_inside += float(weight @ n_balls)
        ball_weight += weight @ inside
    covered = -np.expm1(len(real) * np.log1p(-np.minimum(ball_weight, 1 - 1e-15))) if exact else ball_weight > 0
    return inside_some, n_inside / K, float(np.mean(covered))


def neighbour_radii(real: Features) -> NDArray[np.float32]:
    """Distance of each of real (m, d) to its k-th neighbour, itself left out; to the farthest where there are fewer."""
    k = min(K, len(real) - 1)
    radii = [
        np.partition(squared_distances(real[start : start + CHUNK], real), k, axis=1)[:, k]
        for start in range(0, len(real), CHUNK)
    ]
    out: NDArray[np.float32] = np.sqrt(np.concatenate(radii))
    return out


def nearest_distances(
    images: ImageArray, p: FloatArray, data: Images, report: Callable[[Work], None] | None = None
) -> tuple[FloatArray, FloatArray]:
    """Distances (m,) of images (n, 28, 28) to their nearest training images, and the probability of each.

    The Euclidean norm over pixels from 0 to 1. m is n, or `N_COMPARED`: then of so many draws from p (n,).
    """
    if len(images) > N_COMPARED:
        even = np.allclose(p, p[0])
        rng = np.random.default_rng(0)
        images = images[rng.choice(len(images), N_COMPARED, replace=not even, p=None if even else p)]
        p = np.full(N_COMPARED, 1 / N_COMPARED)
    rows = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
    best, nearest = np.full(len(rows), np.inf, np.float32), np.zeros(len(rows), np.int64)
    for part in parts(len(data.train), 16 * CHUNK, "look for copies", report):
        training = data.train[part].reshape(-1, rows.shape[1]).astype(np.float32) / np.float32(255)
        squared = squared_distances(rows, training)
        found = squared.argmin(1)
        closer = squared[np.arange(len(rows)), found] < best
        best[closer], nearest[closer] = squared[closer, found[closer]], part.start + found[closer]
    # Again for the pairs found: a difference of large products does not reach 0 for a copy.
    difference = (images.astype(np.float64) - data.train[nearest]) / 255
    return np.sqrt(np.square(difference).sum((1, 2))), p


def squared_distances(a: Features, b: Features) -> NDArray[np.float32]:
    """Float32 (n, m) of a (n, d) and b (m, d)."""
    out: NDArray[np.float32] = a @ b.T
    out *= -2
    out += np.einsum("ij,ij->i", a, a)[:, None]
    out += np.einsum("ij,ij->i", b, b)
    return np.maximum(out, 0, out=out)


@dataclass(frozen=True, eq=False)
class _Reference:
    mean: FloatArray
    covariance: FloatArray
    neighbours: Features
    radii: NDArray[np.float32]


@lru_cache(maxsize=2)
def _reference(data: Images, classifier: Classifier) -> _Reference:
    """Of real training images, evenly spaced through the set, whatever its order."""
    chosen = np.linspace(0, len(data.train) - 1, min(N_REFERENCE, len(data.train))).astype(np.int64)
    features, _ = classifier.read(data.train[chosen])
    mean, covariance = moments(features, np.full(len(chosen), 1 / len(chosen)))
    neighbours = features[np.random.default_rng(0).permutation(len(chosen))[:N_NEIGHBOURS_SET]]
    return _Reference(mean, covariance * len(chosen) / (len(chosen) - 1), neighbours, neighbour_radii(neighbours))


def _percentile(values: FloatArray, p: FloatArray) -> float:
    """The smallest value at or below which a hundredth of the probability lies."""
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(p[order]), 0.01)])


def _plain(result: Evaluation) -> dict[str, Any]:
    """What does not repeat the classifier's card."""
    return {k: v for k, v in result.to_dict().items() if k not in {"classifier", "real", "real_same_support"}}


def _distribution(weights: ArrayLike, n: int) -> FloatArray:
    p = np.asarray(weights, dtype=np.float64)
    if p.shape != (n,) or not np.isfinite(p).all() or (p < 0).any() or abs(p.sum() - 1) > 1e-6:
        raise DataError(
            f"weights of shape {p.shape} and sum {p.sum():.6g} are no distribution over {n} images: "
            "pass one probability an image, at least 0, that sum to 1"
        )
    normal: FloatArray = p / p.sum()
    return normal
