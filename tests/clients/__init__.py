"""Artifacts in the hands of the clients people deploy with, each installed by the test that needs it."""
