"""A directory that is put in place whole."""
