"""A process that starts clients which kill themselves: one JSON order a line in, one JSON outcome a line out.

It forks, so that a client costs milliseconds and not the time to import the library; each one is a process of its own,
with connections of its own, and dies by a real SIGKILL at the step that it was told.
"""

import json
import os
import signal
import sys
from itertools import count

from qcaan.circuits.circuit import Circuit, theta
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store
from qcaan.execution.policy import Patience

STEPS = ("plan", "sending", "unsent", "sent", "replied", "decoded", "over")
CALLS = ("submit", "poll", "fetch", "find")
WANTED = [Request(Circuit(1).ry(theta[0], 0), 20, [[0.4], [0.9]])]


def mortal(thing, methods, die_at, steps):
    """Number the steps of `thing`; kill this process before or after the one it was told."""

    def lethal(whole):
        def step(*args, **options):
            number = next(steps)
            if die_at == [number, "before"]:
                os.kill(os.getpid(), signal.SIGKILL)
            result = whole(*args, **options)
            if die_at == [number, "after"]:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    for name in methods:
        setattr(thing, name, lethal(getattr(thing, name)))


def client(order):
    device = ScriptedBackend(
        path=order["device"], dedupe=order["dedupe"], faults=[Fault(*fault) for fault in order["faults"]]
    )
    steps = count(1)
    with Store.open(order["store"]) as store:
        mortal(device, CALLS, order["die_at"], steps)
        mortal(store, STEPS, order["die_at"], steps)
        budget = Budget(order["cap_usd"], order.get("budget", ""))
        patience = Patience(
            settle_s=0,
            first_poll_s=0.001,
            first_backoff_s=0.001,
            submits_per_s=1e9,
            requests_per_s=1e9,
            lock_s=120,
            workers=order["workers"],
        )
        runner = Runner(device, store=store, run=order["run"], seed=1, budget=budget, patience=patience)
        try:
            runner.run(WANTED, tag="t")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to know
            return {"steps": next(steps) - 1, "error": f"{type(error).__name__}: {error}"}
    return {"steps": next(steps) - 1, "error": ""}


def warm_up():
    """Import and compile here, once, what every client would otherwise do for itself."""
    with Store.open() as store:
        Runner(ScriptedBackend(kind="emulator"), store=store, run="warm", seed=1).run(WANTED, tag="t")


def main():
    warm_up()
    for line in sys.stdin:
        orders = json.loads(line)
        children = []
        for order in orders:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                os.write(writing, json.dumps(client(order)).encode())
                os._exit(0)
            os.close(writing)
            children.append((child, reading))
        outcomes = []
        for child, reading in children:
            with os.fdopen(reading) as pipe:
                told = pipe.read()
            _, status = os.waitpid(child, 0)
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            outcomes.append({"killed": killed} | (json.loads(told) if told else {}))
        sys.stdout.write(json.dumps(outcomes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
