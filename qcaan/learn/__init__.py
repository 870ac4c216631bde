"""The science: priors, the adversarial network, training. The only room that imports torch."""

from qcaan.learn.train import Progress, train

__all__ = ["Progress", "train"]
