"""The spec language: from text to `Spec`, without torch."""
