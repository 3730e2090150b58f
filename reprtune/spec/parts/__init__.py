"""The parts of methods as values, a file for each place or for those that belong together."""
