"""Serving any adapter as `AdapterService`: for departments that run theirs next to their data."""
