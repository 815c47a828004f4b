"""Inward: access, asking the adapters, minimising, answering."""
