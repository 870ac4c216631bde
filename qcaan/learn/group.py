"""The group of processes that share a training: made by Lightning Fabric, which chooses gloo or NCCL for the devices.

Only this module imports Fabric, and only where there are several processes: that takes seconds.

Why of Fabric only the strategy and the accelerators: its launchers start the whole script again in every process, or
move all of it out of the caller's. Here one process alone may talk to the device, the store and the run directory.
"""

import logging
from datetime import timedelta

import torch
from lightning_fabric.accelerators.accelerator import Accelerator
from lightning_fabric.accelerators.cpu import CPUAccelerator
from lightning_fabric.accelerators.cuda import CUDAAccelerator
from lightning_fabric.plugins.environments.lightning import LightningEnvironment, find_free_network_port
from lightning_fabric.strategies.ddp import DDPStrategy

from qcaan.learn.share import Share

TIMEOUT = timedelta(minutes=5)
"""Until a process that does not come is missed; longer than any step takes."""

STRATEGIES = {"auto": DDPStrategy, "ddp": DDPStrategy}

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


class _OfThisMachine(LightningEnvironment):
    """Processes that `team.Team` has started."""

    def __init__(self, rank: int, port: int) -> None:
        super().__init__()
        self._rank, self._port = rank, port

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return self._port

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    return find_free_network_port()


def join(share: Share, device: torch.device, strategy: str, port: int) -> DDPStrategy:
    """Make torch's default process group; returns when all processes have joined. Process 0 listens at `port`."""
    cuda = device.type == "cuda"
    accelerator: Accelerator = CUDAAccelerator() if cuda else CPUAccelerator()
    group: DDPStrategy = STRATEGIES[strategy](
        accelerator=accelerator,
        parallel_devices=[torch.device("cuda", rank) if cuda else device for rank in range(share.of)],
        cluster_environment=_OfThisMachine(share.rank, port),
        timeout=TIMEOUT,
    )
    group.setup_environment()
    return group
