"""From a request to artifacts: the list of builds, the workers that run them, and the outcome of each."""
