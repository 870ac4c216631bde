"""A process that starts `qcaan` commands, each in a fork of its own: one JSON order a line in, two lines out.

An order has `argv`, `environment` and `log`, the file for all that the command prints. The first line out is the
command's process id, which may then be killed; the second is its exit code, negative if a signal ended it.

It forks, so that a command costs milliseconds and not the seconds to import torch. Its waits are short, so that a
rehearsal takes seconds; nothing else differs from the command line.
"""

import json
import os
import sqlite3  # noqa: F401
import sys
import traceback

import jinja2  # noqa: F401
import tensorboard.summary  # noqa: F401
import torch
import torch._dynamo

import backends.braket.session  # noqa: F401 - imported once, for all
from qcaan.circuits.circuit import Circuit
from qcaan.circuits.simulate import Engine
from qcaan.cli import main
from qcaan.execution.policy import Patience
from qcaan.learn.data import load

SHORT = {
    "first_poll_s": 0.02,
    "max_poll_s": 0.2,
    "first_backoff_s": 0.02,
    "max_backoff_s": 0.2,
    "settle_s": 0.5,
    "late_s": 3.0,
    "submits_per_s": 1e6,
    "requests_per_s": 1e6,
}


def command(order):
    os.environ.update(order["environment"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.argv = ["qcaan", *order["argv"]]
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    except BaseException:  # noqa: BLE001 - the log gets it, whatever it is
        traceback.print_exc()
        return 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    assert set(SHORT) <= set(Patience.__init__.__kwdefaults__)
    Patience.__init__.__kwdefaults__.update(SHORT)
    load("mnist")
    Engine(Circuit(1).h(0)).probabilities(())
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(command(json.loads(line)))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
