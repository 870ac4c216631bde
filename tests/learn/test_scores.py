"""Every formula against an independent computation, known values, and what must not change it."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore

from qcaan.learn import scores
from qcaan.learn.classifier import Classifier
from qcaan.learn.data import Images
from qcaan.learn.metrics import evaluate


def uniform(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def probabilities(seed: int, n: int, sharpness: float = 3.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(n, 10)) * sharpness
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


class Passing(torch.nn.Module):
    """Hands features through, so that torchmetrics scores exactly ours."""

    num_features = 6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_fid_agrees_with_torchmetrics_and_with_scipy() -> None:
    rng = np.random.default_rng(0)
    ours, real = rng.normal(size=(300, 6)), rng.normal(0.3, 1.5, size=(400, 6)) @ rng.normal(size=(6, 6))
    peer = FrechetInceptionDistance(feature=Passing(), normalize=True).set_dtype(torch.float64)
    peer.update(torch.tensor(real), real=True)
    peer.update(torch.tensor(ours), real=False)
    mine = scores.frechet_distance(ours.mean(0), np.cov(ours.T), real.mean(0), np.cov(real.T))
    assert mine == pytest.approx(float(peer.compute()), rel=1e-6)
    root = scipy.linalg.sqrtm(np.cov(ours.T) @ np.cov(real.T)).real
    direct = ((ours.mean(0) - real.mean(0)) ** 2).sum() + np.trace(np.cov(ours.T) + np.cov(real.T) - 2 * root)
    assert mine == pytest.approx(direct, rel=1e-8)


def test_fid_of_shifted_and_scaled_gaussians() -> None:
    """Closed form in one basis: |shift|^2 + sum (s1 - s2)^2."""
    shift, s1, s2 = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.0]), np.array([3.0, 2.0, 1.0])
    distance = scores.frechet_distance(shift, np.diag(s1**2), np.zeros(3), np.diag(s2**2))
    assert distance == pytest.approx((shift**2).sum() + ((s1 - s2) ** 2).sum())


@given(st.integers(0, 500))
@settings(max_examples=20)
def test_fid_is_symmetric_and_zero_on_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(9, 5)), rng.normal(size=(30, 5))
    a, b = (one.mean(0), np.cov(one.T)), (two.mean(0), np.cov(two.T))
    assert scores.frechet_distance(*a, *a) == pytest.approx(0, abs=1e-7)
    assert scores.frechet_distance(*a, *b) == pytest.approx(scores.frechet_distance(*b, *a), rel=1e-6)


def test_inception_score_agrees_with_torchmetrics() -> None:
    classes = probabilities(0, 500)
    with pytest.warns(UserWarning, match="save all extracted features"):
        peer = InceptionScore(feature=Passing(), splits=1)
    peer.update(torch.tensor(np.log(classes)))
    with pytest.warns(UserWarning, match="degrees of freedom"):  # the deviation of its single split
        score = float(peer.compute()[0])
    assert scores.inception_score(classes, uniform(500)) == pytest.approx(score, rel=1e-6)


def test_inception_score_bounds() -> None:
    """Ten certain and balanced classes score 10; one class, or total doubt, scores 1."""
    assert scores.inception_score(np.eye(10), uniform(10)) == pytest.approx(10)
    assert scores.inception_score(np.eye(10)[[3, 3, 3]], uniform(3)) == pytest.approx(1)
    assert scores.inception_score(np.full((4, 10), 0.1), uniform(4)) == pytest.approx(1)


@given(st.integers(0, 500), st.integers(2, 40))
def test_weights_act_as_repetitions(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    times = rng.integers(1, 6, n)
    p = times / times.sum()
    classes, features = probabilities(seed, n), rng.normal(size=(n, 4)).astype(np.float32)
    total = int(times.sum())
    assert scores.inception_score(classes, p) == pytest.approx(
        scores.inception_score(classes.repeat(times, 0), uniform(total))
    )
    for ours, repeated in zip(
        scores.moments(features, p), scores.moments(features.repeat(times, 0), uniform(total)), strict=True
    ):
        assert np.allclose(ours, repeated)
    assert np.allclose(scores.moments(features, p)[1], np.cov(features.repeat(times, 0).T, ddof=0), atol=1e-6)


@given(arrays(np.float32, (3, 4), elements=st.floats(-10, 10, width=32)))
def test_distances(rows: np.ndarray) -> None:
    assert np.allclose(scores.squared_distances(rows, rows + 1), cdist(rows, rows + 1) ** 2, atol=1e-3)


@given(st.integers(0, 200))
@settings(max_examples=20)
def test_neighbourhoods_against_their_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real, ours = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(0.4, 1.2, (30, 3)).astype(np.float32)
    radii = scores.neighbour_radii(real)
    assert np.allclose(radii, np.sort(cdist(real, real), 1)[:, scores.K], atol=1e-4)
    inside = cdist(ours, real) < radii
    precision, density, coverage = scores.neighbourhood_figures(ours, uniform(30), real, radii, exact=False)
    assert precision == pytest.approx(inside.any(1).mean())
    assert density == pytest.approx(inside.sum() / (scores.K * 30))
    assert coverage == pytest.approx(inside.any(0).mean())


@given(st.integers(0, 200))
@settings(max_examples=20)
def test_recall_against_its_definition(seed: int) -> None:
    """The share of real images in some ball of the generated ones: precision with the sets exchanged."""
    rng = np.random.default_rng(seed)
    real, ours = rng.normal(size=(30, 3)).astype(np.float32), rng.normal(0.4, 1.2, (40, 3)).astype(np.float32)
    reach = np.sort(cdist(ours, ours), 1)[:, scores.K]
    expected = (cdist(real, ours) < reach).any(1).mean()
    assert scores.recall(ours, scores.neighbour_radii(ours), real) == pytest.approx(expected)


def test_recall_sees_a_mode_that_is_missing() -> None:
    """Half of the real images form a second cluster, far off, that nothing was generated in."""
    rng = np.random.default_rng(2)
    near, far = rng.normal(size=(2, 200, 4)).astype(np.float32) + np.float32([[[0]], [[50]]])
    real, ours = np.concatenate([near, far]), rng.normal(size=(400, 4)).astype(np.float32)
    found = scores.recall(ours, scores.neighbour_radii(ours), real)
    assert 0.45 < found <= 0.5


def test_expected_coverage_is_that_of_draws() -> None:
    rng = np.random.default_rng(1)
    real, ours = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(16, 3)).astype(np.float32)
    p = rng.dirichlet(np.full(16, 0.3))
    radii = scores.neighbour_radii(real)
    exact = scores.neighbourhood_figures(ours, p, real, radii, exact=True)
    drawn = [
        scores.neighbourhood_figures(ours[rng.choice(16, 40, p=p)], uniform(40), real, radii, exact=False)
        for _ in range(400)
    ]
    # Three means of 400 draws within 5 of their standard errors: false alarms below 2e-6; the seed is fixed.
    error = np.std(drawn, axis=0) / np.sqrt(400)
    assert (np.abs(np.mean(drawn, axis=0) - exact) < 5 * error + 1e-12).all()


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    real, ours = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(30, 3)).astype(np.float32)
    radii = scores.neighbour_radii(real)
    whole = scores.neighbourhood_figures(ours, uniform(30), real, radii, exact=False)
    monkeypatch.setattr(scores, "CHUNK", 7)
    assert np.array_equal(scores.neighbour_radii(real), radii)
    assert scores.neighbourhood_figures(ours, uniform(30), real, radii, exact=False) == pytest.approx(whole)


def test_different_images_are_found_once_in_their_order(mnist: Images) -> None:
    order = np.array([4, 2, 4, 4, 9, 2])
    first, which = scores.different(mnist.train[order])
    assert first.tolist() == [0, 1, 4]
    assert which.tolist() == [0, 1, 0, 0, 2, 1]


@pytest.mark.parametrize("chunk", [1, 256])
def test_the_nearest_training_image(mnist: Images, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "CHUNK", chunk)
    few = dataclasses.replace(mnist, train=mnist.train[:40])
    distances, odds = scores.nearest_distances(mnist.test[:30], uniform(30), few)
    flat = [images.reshape(len(images), -1) / 255 for images in (mnist.test[:30], few.train)]
    assert np.allclose(distances, cdist(*flat).min(1), rtol=1e-9)
    assert np.array_equal(odds, uniform(30))


def test_a_copy_is_at_distance_zero_and_a_changed_one_beside_it(mnist: Images) -> None:
    copies = mnist.train[[7, 1400, 3]].copy()
    copies[1, 0, 0] += 51
    distances, _ = scores.nearest_distances(copies, uniform(3), mnist)
    assert distances[0] == distances[2] == 0
    assert distances[1] == pytest.approx(0.2)
    repeated, _ = scores.nearest_distances(copies[[1, 0, 1]], uniform(3), mnist)
    assert repeated == pytest.approx([0.2, 0, 0.2])


def test_memorisation_shows_in_mean_and_percentile(mnist: Images, classifier: Classifier) -> None:
    """Three of a hundred images are copies: the mean hardly moves, the first percentile falls to zero."""
    honest = mnist.test[:100]
    copied = honest.copy()
    copied[:3] = mnist.train[:3]
    fair, caught = (evaluate(images, mnist, classifier) for images in (honest, copied))
    assert fair.nearest_training_image_p1 > 1
    assert caught.nearest_training_image_p1 == 0
    assert caught.nearest_training_image > 0.9 * fair.nearest_training_image
    weighted = evaluate(copied, mnist, classifier, np.r_[np.full(3, 0.003), np.full(97, 0.991 / 97)])
    assert weighted.nearest_training_image_p1 > 1  # less than a hundredth of what is drawn is a copy


def test_many_images_are_compared_by_a_sample(mnist: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = scores.nearest_distances(mnist.test[:600], uniform(600), mnist)
    p = np.r_[np.full(300, 1 / 300), np.zeros(300)]
    monkeypatch.setattr(scores, "N_COMPARED", 200)
    distances, odds = scores.nearest_distances(mnist.test[:600], uniform(600), mnist)
    assert len(distances) == len(odds) == 200
    assert len(set(distances) & set(whole)) > 190  # equal shares are drawn without replacement
    assert distances.mean() == pytest.approx(whole.mean(), abs=0.5)  # 6 standard errors; the seed is fixed
    drawn, _ = scores.nearest_distances(mnist.test[:600], p, mnist)
    assert set(drawn) <= set(whole[:300])
