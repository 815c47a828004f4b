"""Who draws in two provinces: found by two members together, from blinded numbers. docs/duplicates.md describes it."""
