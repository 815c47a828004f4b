"""Whole rosters: a file of recipients in; out comes who is certified, whom to see, and what an official must decide."""
