"""The native compiler's parts; `qcaan.circuits.transpile` is its door."""
