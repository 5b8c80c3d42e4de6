"""Measurements. None of them is a test: figures depend on the machine, so they are compared within
one run."""
