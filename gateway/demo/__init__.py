"""A generated federation to try things on: people, departments' systems, provinces. Never part of a real gateway."""
