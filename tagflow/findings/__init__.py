"""Findings: one type for everything that is wrong, and the catalogues of its codes as data."""
