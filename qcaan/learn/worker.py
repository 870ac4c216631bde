"""A worker of `team.Team`: plays the game on its rows of every batch, until the pipe that they come through ends.

Why a thread reads the pipe: while a step waits for process 0, nothing but the end of the pipe tells that it is gone.
"""

import os
import pickle
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import Any

import torch

from qcaan.learn.gan import Game
from qcaan.learn.group import join
from qcaan.learn.team import READY, Orders


def main() -> None:
    """Play until standard input ends."""
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_read, args=(inbox,), daemon=True).start()
    orders: Orders = inbox.get()
    torch.set_num_threads(orders.threads)
    game = Game(
        orders.n_bits,
        orders.settings,
        seed=orders.seed,
        total_steps=orders.total_steps,
        share=orders.share,
        device=orders.device,
    )
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    group = join(orders.share, orders.device, orders.strategy, orders.port)
    game.load_state(*group.broadcast(({}, {})))
    while True:
        inbox.get().play(game)


def _read(inbox: "SimpleQueue[Any]") -> None:
    try:
        while True:
            inbox.put(pickle.load(sys.stdin.buffer))  # noqa: S301 - from the process that started this one
    except (EOFError, pickle.UnpicklingError):
        os._exit(0)
    except Exception:  # noqa: BLE001 - told, and not survived: without this thread the other would wait for ever
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main()
