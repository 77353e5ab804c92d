"""Figures from arrays; the only package that imports matplotlib."""
