"""From `Spec`, config and request to `Plan`, without torch."""
