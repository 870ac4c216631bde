"""The formulas of the scores: Inception Score, FID, precision, density, coverage, recall, distance to training images.

Features are float32 (n, d); p (n,) are the probabilities of the images that they are of. What is compared with what,
and how many images of it, is decided in `qcaan.learn.metrics`.

Why our own few lines and not a library's: a discrete prior of b bits has at most 2^b images, so its figures can be
exact, a sum over all images with the prior's probabilities, where samples bias them. That needs weights, which no
library takes. The tests hold the unweighted figures against torchmetrics, which has no precision, recall, density or
coverage.

Sources: Salimans et al. 2016 (Inception Score), Heusel et al. 2017 (FID), Kynkäänniemi et al. 2019 (precision and
recall), Naeem et al. 2020 (density, coverage).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qcaan.execution.counts import IntArray
from qcaan.execution.progress import Work, parts
from qcaan.learn.data import ImageArray, Images

FloatArray = NDArray[np.float64]
Features = NDArray[np.float32]

N_SPLITS = 10
N_COMPARED = 2_000
K = 5
CHUNK = 256


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


def recall(
    features: Features, radii: NDArray[np.float32], real: Features, report: Callable[[Work], None] | None = None
) -> float:
    """The share of real (m, d) inside some ball around features (n, d) of different images, no weights.

    A ball reaches to the k-th neighbour of its image, `radii` (n,): `neighbour_radii` of the features. Figures of two
    sets compare only where both have as many images: of fewer images the balls are larger.
    """
    return neighbourhood_figures(real, np.full(len(real), 1 / len(real)), features, radii, False, report)[0]


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
    first, which = different(images)
    images = images[first]
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
    return np.sqrt(np.square(difference).sum((1, 2)))[which], p


def different(images: ImageArray) -> tuple[IntArray, IntArray]:
    """Rows of the first of every different image of (n, 28, 28), in their order, and which of these each is, (n,)."""
    place: dict[bytes, int] = {}
    which = np.array([place.setdefault(image.tobytes(), len(place)) for image in images])
    return np.unique(which, return_index=True)[1], which


def percentile(values: FloatArray, p: FloatArray) -> float:
    """The smallest of values (n,) at or below which a hundredth of the probability p (n,) lies."""
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(p[order]), 0.01)])


def squared_distances(a: Features, b: Features) -> NDArray[np.float32]:
    """Float32 (n, m) of a (n, d) and b (m, d)."""
    out: NDArray[np.float32] = a @ b.T
    out *= -2
    out += np.einsum("ij,ij->i", a, a)[:, None]
    out += np.einsum("ij,ij->i", b, b)
    return np.maximum(out, 0, out=out)
