"""Whole-roster runs: a file in, who is certified and who is not out. docs/rosters.md describes them.

The modules that work on rows need polars, which takes memory and time to load: they are imported when a roster is there
to be worked on, and not before.
"""
