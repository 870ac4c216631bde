"""Whole ecosystems, both ways: any device of Qiskit, Cirq or PennyLane as a backend; any backend as a device of theirs.

`*_device.py` are drivers: a device is named by the code that makes it, so they know no device of their own.
`*_sampler.py` and `pennylane_plugin.py` are no drivers but clients: they bring an existing program's circuits to
`qcaan.execution.session`, and so through the compiler, the store and the budget, to any driver.
"""
