"""The evaluation classifier: a LeNet whose classes give the Inception Score and whose 500 features give the FID.

Why it is trained here and shipped: the scores of two good classifiers differ by up to a factor of 1.7 (FID), so a
figure means something only beside the hash of the classifier that made it. The weights ship with a card that names that
hash, the data, the settings and the scores that real data gets; `train_classifier` makes the like for any data set.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from qcaan.errors import DataError
from qcaan.execution.progress import Work, parts
from qcaan.learn.data import N_CLASSES, ImageArray, Images, to_tensor
from qcaan.learn.files import write_whole

N_FEATURES = 500
MAX_SHIFT = 2
FORMS = ("exact", "sampled")
"""How images are measured: all there are, by their probabilities, or some that were drawn."""


class LeNet(nn.Module):
    """Images (n, 1, 28, 28) in [-1, 1] -> features (n, 500), after their ReLU, and logits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(20, 50, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(800, N_FEATURES),
            nn.ReLU(),
        )
        self.classes = nn.Linear(N_FEATURES, N_CLASSES)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits."""
        features = self.features(images)
        return features, self.classes(features)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network and the facts that a report needs.

    `real` holds the figures of `metrics.evaluate` for the real test images, in the forms "exact" and "sampled";
    `real_by_bits` those for 2**bits real training images, by the number of bits in decimal;
    `metrics.with_real_figures` measures them.
    """

    network: LeNet
    data_name: str
    data_checksum: str
    test_accuracy: float
    settings: Mapping[str, int | float | str]
    real: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    real_by_bits: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lay the weights out as the processor reads them fastest, a third of the time; their values stay."""
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def hash(self) -> str:
        """SHA-256 of the weights: name, shape and bytes of every tensor, in the order of names."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(f"{name} {tuple(value.shape)}\n".encode() + value.numpy().tobytes())
        return digest.hexdigest()

    @torch.inference_mode()
    def read(
        self, images: ImageArray, batch_size: int = 256, report: Callable[[Work], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Features float32 (n, 500) and class probabilities float64 (n, 10) of images uint8 (n, 28, 28)."""
        features, classes = [], []
        for part in parts(len(images), batch_size, "classify images", report):
            pixels = to_tensor(images[part]).contiguous(memory_format=torch.channels_last)
            batch, logits = self.network(pixels)
            features.append(batch.numpy())
            classes.append(logits.double().softmax(1).numpy())
        return np.concatenate(features), np.concatenate(classes)

    def save(self, folder: Path) -> None:
        """Write `classifier.safetensors` and its card `classifier.json`, each whole or not at all.

        Raises:
            DataError: the folder cannot be written.
        """
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        card = {
            "hash": self.hash,
            "test_accuracy": self.test_accuracy,
            "data": {"name": self.data_name, "checksum": self.data_checksum},
            "settings": dict(self.settings),
            "real": self.real,
            "real_by_bits": self.real_by_bits,
        }
        contents = {
            "classifier.safetensors": save(weights),
            "classifier.json": json.dumps(card, indent=2).encode() + b"\n",
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in contents.items():
                write_whole(folder / name, content)
        except OSError as error:
            raise DataError(f"cannot write the classifier to {folder}: {error}") from error


def load_classifier(folder: Path | None = None, *, measured: bool = True) -> Classifier:
    """The classifier of a folder, by default the one of the package, trained on MNIST.

    If not `measured`, the figures of real images are left out, and the card may lack them.

    Raises:
        DataError: a file is missing or damaged, the weights do not have the hash that the card names, or the card
            lacks the figures of real images.
    """
    if folder is None:
        with as_file(files("qcaan") / "data" / "classifier") as shipped:
            return load_classifier(shipped, measured=measured)
    train = f"train one again with 'qcaan classifier --out {folder}'"
    try:
        card = json.loads((folder / "classifier.json").read_text())
        network = LeNet()
        network.load_state_dict(load((folder / "classifier.safetensors").read_bytes()))
        classifier = Classifier(
            network.eval().requires_grad_(False),
            data_name=card["data"]["name"],
            data_checksum=card["data"]["checksum"],
            test_accuracy=card["test_accuracy"],
            settings=card["settings"],
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(f"no classifier can be read from {folder} ({error}): {train}") from error
    if classifier.hash != card.get("hash"):
        raise DataError(f"{folder / 'classifier.safetensors'} is damaged: its hash is not the card's; {train}")
    if not measured:
        return classifier
    real, by_bits = card.get("real", {}), card.get("real_by_bits", {})
    if not all(form in figures for form in FORMS for figures in (real, *by_bits.values())):
        measure = f"qcaan classifier --weights {folder} --out {folder} --data {classifier.data_name}"
        raise DataError(f"{folder / 'classifier.json'} lacks what real images get: measure it with '{measure}'")
    return replace(classifier, real=real, real_by_bits=by_bits)


def train_classifier(
    data: Images,
    *,
    seed: int = 0,
    epochs: int = 8,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    report: Callable[[Work], None] | None = None,
) -> Classifier:
    """Train on shifted training images with Adam and a rate that falls linearly to zero; same seed, same weights.

    `report` is told before each step and at the end how many are done, and the test accuracy after the last epoch. The
    seed fixes the weights on one kind of processor, one version of torch and one number of threads, which the card
    names; elsewhere rounding differs, and so the hash.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LeNet()
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    n_steps = epochs * (len(data.train) // batch_size or 1)
    step, accuracy = 0, 0.0
    for _ in range(epochs):
        order = rng.permutation(len(data.train))
        for batch in np.array_split(order, len(order) // batch_size or 1):
            if report is not None:
                report(Work("train the classifier", step, n_steps, {"accuracy": accuracy}))
            optimiser.param_groups[0]["lr"] = learning_rate * (1 - step / n_steps)
            images = to_tensor(shift(data.train[batch], rng))
            loss = functional.cross_entropy(network(images)[1], torch.tensor(data.train_labels[batch]))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1
        accuracy = _accuracy(network, data)
    if report is not None:
        report(Work("train the classifier", n_steps, n_steps, {"accuracy": accuracy}))
    settings: dict[str, int | float | str] = {
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }
    return Classifier(network.eval().requires_grad_(False), data.name, data.checksum, accuracy, settings)


def shift(images: ImageArray, rng: np.random.Generator) -> ImageArray:
    """Each image (n, 28, 28) moved by up to two pixels in each direction, background moving in."""
    n, height, width = images.shape
    padded = np.pad(images, ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT)))
    down, right = rng.integers(0, 2 * MAX_SHIFT + 1, (2, n))
    rows = (down[:, None] + np.arange(height))[:, :, None]
    columns = (right[:, None] + np.arange(width))[:, None, :]
    moved: ImageArray = padded[np.arange(n)[:, None, None], rows, columns]
    return moved


@torch.inference_mode()
def _accuracy(network: LeNet, data: Images) -> float:
    hits = 0
    for start in range(0, len(data.test), 1000):
        logits = network(to_tensor(data.test[start : start + 1000]))[1]
        hits += int((logits.argmax(1).numpy() == data.test_labels[start : start + 1000]).sum())
    return hits / len(data.test)
