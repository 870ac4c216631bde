"""The science: priors, the adversarial network, training. The only room that imports torch."""
