"""Condensing recommendation datasets: a library without orchestrator, tracker or validator (see docs/architecture.md)."""

__version__ = "0.1.0"
