"""The training loop: one page, top to bottom.

A step s depends on nothing but the state before it and the seed: batches, latent draws and measurements derive their
random numbers from (seed, what, s), and no generator lives across steps. So a run that is stopped at any moment and
resumed ends bit for bit where the undisturbed run ends, and shots that were measured before the interruption
are taken from the store, not measured again.

Source of the method: Rudolph et al., Phys. Rev. X 12, 031010 (2022); a re-implementation from its public description.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcaan.config import Config
from qcaan.errors import ConfigError
from qcaan.execution.counts import BitArray
from qcaan.learn import data, pictures
from qcaan.learn.classifier import Classifier
from qcaan.learn.metrics import classifier_for
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.schedule import Schedule
from qcaan.learn.session import Report, Session
from qcaan.learn.team import Batch
from qcaan.learn.trained import Trained


@dataclass(frozen=True)
class Progress:
    """Where a run stands: `step` of `total` steps done, what it does now, and the newest numbers."""

    step: int
    total: int
    epoch: int
    phase: str
    values: Mapping[str, Any] = field(default_factory=dict)


def train(config: Config | Mapping[str, Any] | str | Path, out: str | Path | None = None) -> Path:
    """Train from a configuration; return the run directory.

    Raises:
        ConfigError: the configuration is wrong, or `out` holds something.
        QcaanError: as its tree says; `resume` goes on.
    """
    with prepare(config if isinstance(config, Config) else Config.load(config), out) as run:
        for _ in steps(run):
            pass
        return run.path


def prepare(
    config: Config, out: str | Path | None = None, *, budget: str | None = None, start: RunDirectory | None = None
) -> RunDirectory:
    """A new run directory, once device, data, prior and networks could be opened; otherwise nothing is left behind.

    `budget` names a budget in the store that several runs spend from; by default the run has one of its own. With
    `start` the new run goes on from that one's last checkpoint.

    Raises:
        ConfigError, DataError, BackendError, StoreError: what could not be opened.
    """
    schedule = Schedule.of(config, len(data.load(config.data.name).train))
    run = RunDirectory.create(config, out, budget, start)
    try:
        Session.open(run, schedule.total).close()
    except BaseException:  # Ctrl-C too leaves nothing behind
        shutil.rmtree(run.path)
        raise
    return run


def change(run: RunDirectory, config: Config) -> None:
    """Let `run` go on with another configuration, once it could be opened with that; otherwise nothing is changed.

    Raises:
        ConfigError, DataError, BackendError, StoreError: what could not be opened.
    """
    schedule = Schedule.of(config, len(data.load(config.data.name).train))
    Session.open(RunDirectory(run.path, config), schedule.total).close()
    run.write_config(config)


def steps(run: RunDirectory, report: Report | None = None) -> Iterator[Progress]:
    """Train `run` from its last checkpoint to its end, yielding before every phase and after every step.

    A run that is complete yields nothing. `report` is told how things stand while the device's jobs are waited for,
    while the generator is scored, and while a classifier for the data is trained, once, before the first step.

    Raises:
        ConfigError: the run is already past the end that its configuration names.
        QcaanError: as its tree says; calling again goes on.
    """
    config = run.config
    images = data.load(config.data.name)
    schedule = Schedule.of(config, len(images.train))
    size, total = config.train.batch_size, schedule.total
    with Session.open(run, total, report) as session:
        if session.step > total:
            raise ConfigError(f"train.max_steps, train.epochs: they end at step {total}, the run is at {session.step}")
        if session.step == total and run.picture(total).exists():
            run.track()  # a server may have missed the end
            return
        session.begin()
        classifier = classifier_for(images, report) if config.train.scores else None
        prior = session.prior
        newest: dict[str, Any] = {}
        for step in range(session.step, total):
            epoch, position = divmod(step, schedule.per_epoch)
            if step == session.step or position == 0:
                order = rng(config.seed, "epoch", epoch).permutation(len(images.train))
            record: dict[str, Any] = {}
            refit = step % schedule.refresh_every == 0

            if step > session.step and (refit or step % config.train.checkpoint_every == 0):
                session.save(step)
            if refit:
                yield Progress(step, total, epoch, "refit", newest)
                target = target_bits(session, config, images, step)
                record |= prior.refit(target, tag=f"{step}/refit") | {"prior/losses": list(prior.losses)}
                session.draw(f"{step}/pool")

            chosen = order[position * size :][:size]
            batch = Batch(images.train[chosen], latents(session, config, step), images.train_labels[chosen])
            losses = session.team.step(batch)

            done = step + 1
            if record or done % config.train.log_every == 0 or done == total:
                record |= {f"gan/{name}": value for name, value in losses.items()}
            if done == total or done % (config.train.evaluate_every or total) == 0:
                yield Progress(done, total, epoch, "evaluate", newest)
                record |= evaluate(run, session.trained(), images, classifier, done, report)
            if record:
                run.log(done, epoch, record)
                newest = newest | record
            if done == total:
                session.save(total)
            yield Progress(done, total, epoch, "train", newest)

        if session.step == total:  # resumed with an end that is the last checkpoint's step
            epoch = (total - 1) // schedule.per_epoch
            yield Progress(total, total, epoch, "evaluate", newest)
            run.log(total, epoch, evaluate(run, session.trained(), images, classifier, total, report))


def latents(session: Session, config: Config, step: int) -> NDArray[Any]:
    """What the generator draws from at `step`: bits that were measured, (batch_size, n_bits), or fresh noise.

    Bits of every kind come from the pool, so that priors compare as if each of their shots were paid for. Continuous
    noise is not measured, and is drawn anew, as in any GAN.
    """
    if not session.prior.discrete:
        return session.prior.sample(config.train.batch_size, tag=f"{step}/latent")
    chosen = rng(config.seed, "latent", step).integers(len(session.pool), size=config.train.batch_size)
    return session.pool[chosen]


def target_bits(session: Session, config: Config, images: data.Images, step: int) -> BitArray:
    """What the discriminator reads, as bits: uint8 (target_images, n_bits), the target of the refit at `step`."""
    n = config.prior.target_images
    chance = rng(config.seed, "target", step)
    n_generated = n // 2 if config.prior.activations == "both" and len(session.pool) else 0
    seen = images.train[chance.integers(len(images.train), size=n - n_generated)]
    if n_generated:
        latent = session.pool[chance.integers(len(session.pool), size=n_generated)]
        classes = chance.integers(data.N_CLASSES, size=n_generated) if config.gan.conditional else None
        seen = np.concatenate([seen, session.game.generate(latent, classes, rng=chance)])
    return session.game.latent_bits(data.to_tensor(seen), rng(config.seed, "binarise", step))


def evaluate(
    run: RunDirectory,
    trained: Trained,
    images: data.Images,
    classifier: Classifier | None,
    step: int,
    report: Report | None = None,
) -> dict[str, Any]:
    """Score the generator as it is now, if there is a classifier, and draw pictures; return the record."""
    figures = trained.evaluate(images, classifier, run.config, report).to_dict() if classifier else {}
    pictures.save_grid(run.picture(step), trained.draw(100, run.config.seed), columns=10, scale=2)
    return {f"eval/{name}": value for name, value in figures.items()}


def rng(seed: int, what: str, index: int) -> np.random.Generator:
    """The random stream of one purpose at one step or epoch."""
    return np.random.default_rng([seed, index, *what.encode()])
