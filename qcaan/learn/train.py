"""The training loop: one page, top to bottom.

A step s depends on nothing but the state before it and the seed: batches, latent draws and measurements derive their
random numbers from (seed, what, s), never from a generator that lives across steps. So a run that is stopped at any
moment and resumed ends bit for bit where the undisturbed run ends, and shots that were measured before the interruption
are taken from the store, not measured again.

Source of the method: Rudolph et al., Phys. Rev. X 12, 031010 (2022); a re-implementation from its public description.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qcaan.config import Config
from qcaan.learn import data, pictures
from qcaan.learn.metrics import classifier_for
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.schedule import Schedule
from qcaan.learn.session import Report, Session
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


def prepare(config: Config, out: str | Path | None = None) -> RunDirectory:
    """A new run directory, once device, data, prior and networks could be opened; otherwise nothing is left behind.

    Raises:
        ConfigError, DataError, BackendError, StoreError: what could not be opened.
    """
    schedule = Schedule.of(config, len(data.load(config.data.name).train))
    run = RunDirectory.create(config, out)
    try:
        Session.open(run, schedule.total).close()
    except BaseException:
        shutil.rmtree(run.path)
        raise
    return run


def steps(run: RunDirectory, report: Report | None = None) -> Iterator[Progress]:
    """Train `run` from its last checkpoint to its end, yielding before every phase and after every step.

    A run that is complete yields nothing. `report` is told how the device's jobs stand while a refit waits for them.
    """
    config = run.config
    images = data.load(config.data.name)
    schedule = Schedule.of(config, len(images.train))
    size, total = config.train.batch_size, schedule.total
    with Session.open(run, total, report) as session:
        if session.step >= total:
            return
        session.begin()
        game, prior = session.game, session.prior
        newest: dict[str, Any] = {}
        for step in range(session.step, total):
            epoch, position = divmod(step, schedule.per_epoch)
            if step == session.step or position == 0:
                order = rng(config.seed, "epoch", epoch).permutation(len(images.train))
            record: dict[str, Any] = {}

            if step % schedule.refresh_every == 0:
                session.save(step)
                yield Progress(step, total, epoch, "refit", newest)
                chosen = rng(config.seed, "target", step).integers(len(images.train), size=config.prior.target_images)
                target = game.latent_bits(data.to_tensor(images.train[chosen]), rng(config.seed, "binarise", step))
                record |= prior.refit(target, tag=f"{step}/refit") | {"prior/losses": list(prior.losses)}
                session.pool = prior.sample(config.prior.shots, tag=f"{step}/pool")
            elif step % config.train.checkpoint_every == 0:
                session.save(step)

            real = data.to_tensor(images.train[order[position * size :][:size]])
            latent = session.pool[rng(config.seed, "latent", step).integers(len(session.pool), size=size)]
            losses = game.step(real, torch.from_numpy(latent))

            done = step + 1
            if record or done % config.train.log_every == 0 or done == total:
                record |= {f"gan/{name}": value for name, value in losses.items()}
            if done == total or done % (config.train.evaluate_every or total) == 0:
                yield Progress(done, total, epoch, "evaluate", newest)
                record |= evaluate(run, session.trained(), images, done)
            if record:
                run.log(done, epoch, record)
                newest = newest | record
            if done == total:
                session.save(total)
            yield Progress(done, total, epoch, "train", newest)


def evaluate(run: RunDirectory, trained: Trained, images: data.Images, step: int) -> dict[str, Any]:
    """Draw pictures with the generator as it is now, score it, return the record."""
    pictures.save_grid(run.samples / f"step-{step:06d}.png", trained.draw(100, run.config.seed), columns=10, scale=2)
    if not run.config.train.scores:
        return {}
    figures = trained.evaluate(images, classifier_for(images), run.config).to_dict()
    return {f"eval/{name}": value for name, value in figures.items()}


def rng(seed: int, what: str, index: int) -> np.random.Generator:
    """The random stream of one purpose at one step or epoch."""
    return np.random.default_rng([seed, index, *what.encode()])
