"""Measure and judge; no torch."""
