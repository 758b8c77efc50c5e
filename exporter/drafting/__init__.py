"""A spec drafted by looking at a model: its config class, its signature, and what it does at several sizes."""
