"""Dameng (达梦), whose dialect for SQLAlchemy is the vendor's: packages dmSQLAlchemy and dmPython.

Owns: making that dialect loadable. Up to its version 2.0.17 the half of it for asyncio uses what SQLAlchemy 2.1 has no
more, and loading either half loads both; ours is the other. Refuses: anything where the package loads by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

_PACKAGE = "dmSQLAlchemy"


class _Absent(ModuleType):
    """Stands for the half that is not used; whatever is asked of it is a class without content."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def make_loadable() -> None:
    """See that the dialect can be loaded, if it is installed."""
    if _PACKAGE in sys.modules or importlib.util.find_spec(_PACKAGE) is None:
        return
    try:
        importlib.import_module(_PACKAGE)
    except ImportError:
        for name in [name for name in sys.modules if name == _PACKAGE or name.startswith(_PACKAGE + ".")]:
            del sys.modules[name]
        sys.modules[_PACKAGE + ".dmasync"] = _Absent(_PACKAGE + ".dmasync")
