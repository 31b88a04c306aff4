"""Condensing recommendation datasets: a library without orchestrator, tracker or validator."""

__version__ = "0.1.0"
