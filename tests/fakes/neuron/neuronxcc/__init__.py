"""A stand-in for the compiler of Inf2 and Trn machines."""

__version__ = "2.21.33363.0"
