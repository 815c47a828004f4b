"""Modules with a defence switched off, so that a test of an attack can show that it is this defence that stops it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import ModuleType

Change = tuple[str, str]
"""What stands in the module's source, and what stands there instead."""


def without(module: ModuleType, changes: Iterable[Change]) -> ModuleType:
    """A copy of the module made of its source with these changes. What they replace must be in it: a test whose mutant
    no longer fits the code is a test to look at again.
    """
    source = inspect.getsource(module)
    for old, new in changes:
        assert old in source, f"{module.__name__} does not have {old!r} any more"
        source = source.replace(old, new)
    made = ModuleType(module.__name__)
    made.__file__ = module.__file__
    exec(compile(source, f"<mutant of {module.__name__}>", "exec"), made.__dict__)
    return made
