"""Builds with the oldest and the newest of each library, on each Python, in environments of their own."""
