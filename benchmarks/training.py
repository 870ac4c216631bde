"""How good the digits get, and in how much processor time: whole runs, on one thread, scored beside real images.

The peer is real data: as many distinct training images as the prior has bitstrings, each as probable, scored in the
same way. `cpu_s` is what training took, its refits included, without the final scoring. Rows have `work`, `ours`,
`peer`, `theirs`, `unit`, `ratio`; a ratio above 1 means that ours is better. Each run takes about ten minutes of one
idle core.

    python benchmarks/training.py [--json] [--only WORDS] [--seeds N] [--set KEY=VALUE]...
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from qcaan.config import Config
from qcaan.learn.data import load
from qcaan.learn.metrics import classifier_for
from qcaan.learn.run_directory import RunDirectory
from qcaan.learn.train import train
from qcaan.learn.trained import Trained

DIGITS = Path(__file__).parents[1] / "examples" / "digits.yaml"
LONG = ["train.epochs=5"]
CASES = {
    "QC+o, 16 bits": LONG,
    "QC+t, 16 bits": [*LONG, "prior.bases=[Z, trained]"],
    "Bernoulli, 16 bits": [*LONG, "prior.kind=bernoulli"],
    "QC, 8 bits": [*LONG, "prior.bases=[Z]"],
    "Bernoulli, 8 bits": [*LONG, "prior.bases=[Z]", "prior.kind=bernoulli"],
}
MORE_IS_BETTER = {"inception_score": True, "fid": False, "coverage": True}


def measure(config: Config) -> tuple[dict[str, float], dict[str, float], float]:
    """The figures of a run, those of real images, and the processor time of training, in seconds."""
    images = load(config.data.name)
    classifier = classifier_for(images)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        path = train(config, Path(folder) / "run")
        cpu_s = time.process_time() - start
        with RunDirectory.open(path) as run:
            figures = Trained.load(run).evaluate(images, classifier, config).to_dict()
    return figures, figures["real_same_support"] or figures["real"], cpu_s


def rows(work: str, overrides: list[str]) -> list[dict[str, object]]:
    config = Config.load(DIGITS, [*overrides, "train.scores=false"])
    figures, real, cpu_s = measure(config)
    out: list[dict[str, object]] = []
    for name, more in MORE_IS_BETTER.items():
        ours, theirs = figures[name], real[name]
        row = {"work": f"{work}: {name}", "ours": ours, "peer": "as many real images", "theirs": theirs, "unit": ""}
        out.append(row | {"ratio": ours / theirs if more else theirs / ours, "seed": config.seed, "cpu_s": cpu_s})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name holds these words")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each case")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for name, settings in CASES.items():
        for seed in range(1, given.seeds + 1) if given.only in name else ():
            for row in rows(name, [*settings, f"seed={seed}", *given.overrides]):
                found.append(row)
                if not given.json:
                    shown = f"{row['work']:36s} {row['ours']:8.3f}  real {row['theirs']:8.3f}  {row['cpu_s']:.0f} CPU-s"
                    print(shown, flush=True)
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
