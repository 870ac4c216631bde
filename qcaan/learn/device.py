"""Where the networks are: on a GPU if there is one, else on the processor.

Why the evaluation classifier and its figures stay on the processor: figures are compared between machines, and a GPU
multiplies in other precisions.
"""

import torch

from qcaan.errors import ConfigError


def open_device(accelerator: str, devices: int = 1) -> torch.device:
    """The device of process 0 under `train.accelerator`, where there is one for each of so many processes.

    Raises:
        ConfigError: there are too few GPUs.
    """
    gpus = 0 if accelerator == "cpu" else torch.cuda.device_count()
    if gpus == 0 and accelerator == "cuda":
        raise ConfigError("train.accelerator: cuda - torch sees no GPU here; use auto or cpu, or a CUDA build of torch")
    if 0 < gpus < devices:
        remedy = "use as many, or set train.accelerator to cpu"
        raise ConfigError(f"train.devices: {devices} - each process needs a GPU, torch sees {gpus}; {remedy}")
    return torch.device("cuda", 0) if gpus else torch.device("cpu")
