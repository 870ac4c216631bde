"""Circuits, compiled to native programs and simulated: WHAT is run."""
