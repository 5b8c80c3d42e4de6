"""Hodei: a job runner on PostgreSQL. docs/architecture.md is the map of its packages."""

__version__ = "0.1.0"
