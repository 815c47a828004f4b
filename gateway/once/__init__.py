"""One person, one benefit, once: the once-only gate, and finding those who draw in two provinces."""
