"""Runs and sweeps as pages: `write_report` and `write_sweep_report` make a self-contained HTML file of a directory.

Of a run: digits over training, losses and metrics with the lines of real data, the circuit before and after
compilation, shots, money and waiting times at the device, provenance. Of a sweep: what was compared and what came out,
with intervals, digits of every variant, where every run stands, and the same about devices and provenance. A file asks
the network for nothing and has no scripts.
"""

from qcaan.learn.report.run import write_report
from qcaan.learn.report.sweep import write_sweep_report

__all__ = ["write_report", "write_sweep_report"]
