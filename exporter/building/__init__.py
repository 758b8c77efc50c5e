"""Builds: what to build, the worker that builds it, and what came out."""
