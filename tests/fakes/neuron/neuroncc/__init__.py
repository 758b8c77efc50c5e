"""A stand-in for the compiler of Inf1 machines."""

__version__ = "1.24.0.0"
