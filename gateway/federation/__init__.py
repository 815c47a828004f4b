"""Outward: the directory, routing, partners."""
