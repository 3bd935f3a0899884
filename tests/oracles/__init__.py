"""Slow plain-Python oracles of the fast kernels."""
