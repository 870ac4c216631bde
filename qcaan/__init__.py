"""qcaan: generative networks whose prior is learned by a quantum computer, on any quantum computer."""
