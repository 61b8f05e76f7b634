"""Webcam and video stylisation by true Gatys optimisation."""

__version__ = "0.1.0"
