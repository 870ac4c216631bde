"""`evaluate`: real images, noise, weights, what is refused; and the classifier that it scores with."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from qcaan.errors import DataError
from qcaan.execution.progress import Work
from qcaan.learn import metrics
from qcaan.learn.classifier import Classifier
from qcaan.learn.data import Images, load
from qcaan.learn.metrics import evaluate


def uniform(n: int) -> np.ndarray:
    return np.full(n, 1 / n)


def test_real_images_score_as_real(mnist: Images, classifier: Classifier) -> None:
    result = evaluate(mnist.test, mnist, classifier)
    assert 9.2 < result.inception_score < 10
    assert 0 < result.inception_score_std < 0.3
    assert result.fid < 70  # of 1500 images against 1500; the distance shrinks with their number
    assert result.precision > 0.85
    assert result.coverage > 0.6
    assert 0.7 < result.density < 1.2
    assert result.distinct_images == result.n_images == 1500
    assert result.effective_support == pytest.approx(1500)
    assert 0.8 < result.recall < 1
    assert not result.exact
    share = np.bincount(mnist.test_labels, minlength=10) / 1500
    assert np.allclose(result.class_balance, share, atol=0.01)


def test_the_card_tells_what_real_data_gets(classifier: Classifier) -> None:
    whole = load()
    result = evaluate(whole.test, whole, classifier)
    real = classifier.real["sampled"]
    assert result.inception_score == pytest.approx(real["inception_score"], abs=0.01)
    assert result.fid == pytest.approx(real["fid"], rel=0.02)
    assert result.coverage == pytest.approx(real["coverage"], abs=0.005)
    assert result.recall == pytest.approx(real["recall"], abs=0.005)
    # Two independent samples of one distribution: close to 1 by construction, and the score cannot pass its 10 classes.
    assert result.coverage > 0.93
    assert result.recall > 0.9
    assert 9.7 < result.inception_score < 10
    assert 3.3 < result.class_entropy_bits < np.log2(10)


def test_noise_scores_as_noise(mnist: Images, classifier: Classifier) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 28, 28), dtype=np.uint8)
    result = evaluate(noise, mnist, classifier)
    assert result.inception_score < 2
    assert result.fid > 300
    assert result.coverage < 0.01


def test_one_class_scores_one(mnist: Images, classifier: Classifier) -> None:
    result = evaluate(mnist.test[mnist.test_labels == 1], mnist, classifier)
    assert result.inception_score == pytest.approx(1, abs=0.1)
    assert result.class_balance[1] > 0.97
    assert result.class_entropy_bits < 0.3
    assert result.coverage < 0.3


def test_order_does_not_matter(mnist: Images, classifier: Classifier) -> None:
    """Sorted by class, unshuffled splits would hold one class each and score near 1."""
    images = mnist.test[np.argsort(mnist.test_labels)]
    result, shuffled = evaluate(images, mnist, classifier), evaluate(mnist.test, mnist, classifier)
    assert result.inception_score == pytest.approx(shuffled.inception_score, abs=0.2)
    assert result.fid == pytest.approx(shuffled.fid, rel=1e-4)


def test_exact_equals_many_repetitions(mnist: Images, classifier: Classifier) -> None:
    images = mnist.test[:16]
    times = np.arange(1, 17) * 10
    exact = evaluate(images, mnist, classifier, times / times.sum())
    sampled = evaluate(images.repeat(times, 0), mnist, classifier)
    assert exact.exact
    assert exact.inception_score_std == 0
    assert exact.n_images == 16
    assert sampled.n_images == times.sum()
    assert (exact.distinct_images, sampled.distinct_images) == (16, 16)
    # 1360 images against their own limit: n - 1 in the covariance, and splits of 136 images, which lower the score.
    assert exact.fid == pytest.approx(sampled.fid, rel=2e-3)
    assert sampled.inception_score < exact.inception_score < sampled.inception_score * 1.1
    for name in ("precision", "density", "effective_support"):
        assert getattr(exact, name) == pytest.approx(getattr(sampled, name), rel=1e-5)
    assert np.allclose(exact.class_balance, sampled.class_balance)
    assert exact.coverage == pytest.approx(sampled.coverage, abs=0.005)


def test_images_of_no_weight_do_not_count(mnist: Images, classifier: Classifier) -> None:
    images, p = mnist.test[:20], np.r_[np.full(10, 0.1), np.zeros(10)]
    assert evaluate(images, mnist, classifier, p) == evaluate(images[:10], mnist, classifier, p[:10])


def test_equal_images_are_one(mnist: Images, classifier: Classifier) -> None:
    images = mnist.test[[0, 1, 1, 1]]
    result = evaluate(images, mnist, classifier, [0.5, 0.2, 0.2, 0.1])
    assert result.distinct_images == 2
    assert result.effective_support == pytest.approx(2)


def test_report_names_the_classifier_and_is_plain(mnist: Images, classifier: Classifier) -> None:
    result = evaluate(mnist.test[:20], mnist, classifier).to_dict()
    assert set(result) == {
        *("inception_score", "inception_score_std", "fid", "precision", "coverage", "density", "distinct_images"),
        *("effective_support", "class_balance", "n_images", "exact", "classifier", "real", "real_same_support"),
        *("nearest_training_image", "nearest_training_image_p1", "recall", "class_entropy_bits", "label_accuracy"),
    }
    assert result["classifier"] == {"hash": classifier.hash, "test_accuracy": classifier.test_accuracy}
    assert set(result["real"]) == set(result) - {"classifier", "real", "real_same_support", "label_accuracy"}
    assert json.loads(json.dumps(result))["fid"] == result["fid"]


def test_a_prior_of_bits_is_shown_beside_as_many_real_images(mnist: Images, classifier: Classifier) -> None:
    assert set(classifier.real_by_bits) == {str(n_bits) for n_bits in range(1, 17)}
    alike = classifier.real_by_bits["8"]
    assert evaluate(mnist.test[:20], mnist, classifier, n_bits=8).real_same_support == alike["sampled"]
    assert evaluate(mnist.test[:20], mnist, classifier, uniform(20), n_bits=8).real_same_support == alike["exact"]
    for n_bits in (None, 17):
        assert evaluate(mnist.test[:20], mnist, classifier, n_bits=n_bits).real_same_support is None


@pytest.mark.parametrize("form", ["exact", "sampled"])
def test_the_card_of_as_many_real_images(classifier: Classifier, form: str) -> None:
    """More images are better; from 9 bits on, 10,000 draws of them look worse than all of them."""
    figures = [row[form] for row in classifier.real_by_bits.values()]
    support = [*(2**n_bits for n_bits in range(1, 16)), 50_000]
    assert all(row["exact"] == (form == "exact") and set(row) == set(classifier.real[form]) for row in figures)
    if form == "exact":
        assert [row["n_images"] for row in figures] == [row["distinct_images"] for row in figures] == support
    else:
        assert {row["n_images"] for row in figures} == {10_000}
        assert all(row["distinct_images"] <= n for row, n in zip(figures, support, strict=True))
        exact = [row["exact"] for row in classifier.real_by_bits.values()]
        assert all(drawn["fid"] > whole["fid"] for drawn, whole in zip(figures[8:], exact[8:], strict=True))
    fids = [row["fid"] for row in figures]
    assert fids == sorted(fids, reverse=True)
    # 5000 of 10,000 draws differ from 2^13 images on
    assert [row["recall"] is None for row in figures] == [True] * 12 + [False] * 4


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "N_DRAWS", 800)


@pytest.mark.usefixtures("few_draws")
def test_real_figures_are_measured_in_both_forms(mnist: Images, classifier: Classifier) -> None:
    """As many images as bitstrings are none of the reference, whose own images would be nearer to it."""
    measured = metrics.with_real_figures(classifier, mnist)
    sampled = evaluate(mnist.test, mnist, classifier).to_dict()
    assert dict(measured.real["sampled"]) == {name: sampled[name] for name in measured.real["sampled"]}
    whole = evaluate(mnist.test, mnist, classifier, uniform(1500))
    differing = {name for name, value in measured.real["exact"].items() if value != measured.real["sampled"][name]}
    assert differing == {"inception_score", "inception_score_std"}
    assert measured.real["exact"]["inception_score"] == pytest.approx(whole.inception_score)

    eight = measured.real_by_bits["3"]
    assert (eight["exact"]["n_images"], eight["sampled"]["n_images"]) == (8, 800)
    assert eight["sampled"]["distinct_images"] == 8
    assert eight["exact"]["effective_support"] == pytest.approx(eight["sampled"]["effective_support"], rel=0.02)
    assert measured.real_by_bits["10"] == measured.real_by_bits["16"]  # there are 750 of them

    reference = np.linspace(0, 1499, 750).astype(int)
    outside = np.setdiff1d(np.arange(1500), reference)
    themselves, others = (evaluate(mnist.train[rows], mnist, classifier, uniform(750)) for rows in (reference, outside))
    assert themselves.fid < 0.1
    assert themselves.coverage > others.coverage
    assert measured.real_by_bits["16"]["exact"]["n_images"] == 750
    assert measured.real_by_bits["16"]["exact"]["fid"] == pytest.approx(others.fid, rel=1e-6)
    assert others.fid > 5


def test_label_accuracy_is_the_share_of_images_of_the_class_asked_for(mnist: Images, classifier: Classifier) -> None:
    images, labels = mnist.test[:200], mnist.test_labels[:200].astype(np.int64)
    assert evaluate(images, mnist, classifier, labels=labels).label_accuracy >= 0.98
    assert evaluate(images, mnist, classifier).label_accuracy is None
    half = np.where(np.arange(200) < 100, labels, (labels + 1) % 10)
    rising = np.where(np.arange(200) < 100, 0.002, 0.008)
    assert evaluate(images, mnist, classifier, rising, labels=half).label_accuracy == pytest.approx(0.2, abs=0.02)
    with pytest.raises(DataError, match=r"labels have shape \(3,\): one for each of the 200 images"):
        evaluate(images, mnist, classifier, labels=labels[:3])


def test_recall_is_of_different_images(mnist: Images, classifier: Classifier) -> None:
    """750 are needed, as the reference has them: repeated ones do not count, and images of no weight are not drawn."""
    enough = evaluate(mnist.test[:750], mnist, classifier)
    assert 0.7 < enough.recall < 1
    assert evaluate(mnist.test[:749], mnist, classifier).recall is None
    assert evaluate(mnist.test[:749].repeat(3, 0), mnist, classifier).recall is None
    again = evaluate(mnist.test[:750].repeat(3, 0), mnist, classifier)
    assert again.recall == pytest.approx(enough.recall)
    assert evaluate(mnist.test[:750], mnist, classifier, uniform(750)).recall == pytest.approx(enough.recall)
    rare = np.r_[np.full(700, 1 / 700), np.zeros(800)]
    assert evaluate(mnist.test, mnist, classifier, rare).recall is None


def test_data_of_too_few_images(mnist: Images, classifier: Classifier) -> None:
    with pytest.raises(DataError, match="'mnist' has 3 training images: at least 4 are needed for scores"):
        evaluate(mnist.test, dataclasses.replace(mnist, train=mnist.train[:3]), classifier)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((5, 28, 28)),
        np.zeros((5, 27, 28), np.uint8),
        np.zeros((5, 1, 28, 28), np.uint8),
        np.zeros((1, 28, 28), np.uint8),
    ],
)
def test_wrong_images(mnist: Images, classifier: Classifier, images: np.ndarray) -> None:
    with pytest.raises(DataError, match="two uint8 images of 28 x 28"):
        evaluate(images, mnist, classifier)


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6], [1.5, -0.5], [float("nan"), 1.0]])
def test_wrong_weights(mnist: Images, classifier: Classifier, weights: list[float]) -> None:
    with pytest.raises(DataError, match="no distribution over 2 images"):
        evaluate(mnist.test[:2], mnist, classifier, weights)


def test_foreign_classifier(mnist: Images, classifier: Classifier) -> None:
    other = dataclasses.replace(mnist, name="fashion", checksum="0" * 64)
    with pytest.raises(DataError, match="trained on 'mnist', the data are 'fashion': train a classifier"):
        evaluate(mnist.test, other, classifier)


@pytest.fixture
def other(mnist: Images) -> Images:
    """Data that the package has no classifier for: the digits upside down, a few of them."""
    return dataclasses.replace(
        mnist,
        name="upside down",
        checksum="5" * 64,
        train=mnist.train[:300, ::-1],
        train_labels=mnist.train_labels[:300],
        test=mnist.test[:60, ::-1],
        test_labels=mnist.test_labels[:60],
    )


@pytest.mark.usefixtures("few_draws")
def test_other_data_get_a_classifier_once(other: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told: list[Work] = []
    first = metrics.classifier_for(other, told.append, epochs=2)
    assert {news.name for news in told} == {
        "train the classifier",
        "classify images",
        "compare with real images",
        "look for copies",
    }
    assert [news.done for news in told if news.name == "train the classifier"] == [0, 1, 2, 3, 4]
    n_told = len(told)
    assert first.data_checksum == other.checksum
    assert first.real["sampled"]["n_images"] == 60
    folder = tmp_path / "qcaan" / "classifiers"
    assert [path.name for path in folder.iterdir()] == ["5" * 16]
    assert sorted(path.name for path in (folder / ("5" * 16)).iterdir()) == [
        "classifier.json",
        "classifier.safetensors",
    ]
    again = metrics.classifier_for(other, told.append)
    assert len(told) == n_told
    assert again.hash == first.hash
    result = evaluate(other.test, other, again)
    assert result.fid == pytest.approx(first.real["sampled"]["fid"], rel=1e-3)


def test_the_packages_own_data_use_the_packages_classifier(
    classifier: Classifier, mnist: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert metrics.classifier_for(mnist).hash == classifier.hash
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("few_draws")
def test_an_interrupted_training_leaves_no_classifier(
    other: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def stop(news: Work) -> None:
        if news.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        metrics.classifier_for(other, stop, epochs=2)
    assert not list((tmp_path / "qcaan" / "classifiers").iterdir())


@pytest.mark.usefixtures("few_draws")
def test_a_classifier_that_another_process_kept_meanwhile_serves(
    other: Images, classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    theirs = dataclasses.replace(classifier, data_checksum=other.checksum)

    def meanwhile(news: Work) -> None:
        theirs.save(tmp_path / "qcaan" / "classifiers" / ("5" * 16))

    assert metrics.classifier_for(other, meanwhile, epochs=1).hash == classifier.hash


def test_a_cache_that_cannot_be_written(other: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be kept in .*set XDG_CACHE_HOME"):
        metrics.classifier_for(other)


def test_a_damaged_one_names_the_command(other: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "qcaan" / "classifiers" / ("5" * 16)
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match=f"train one again with 'qcaan classifier --out {folder}'"):
        metrics.classifier_for(other)
