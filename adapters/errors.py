"""Every error an adapter raises.

    AdapterError
    ├── ManifestError      the manifest is wrong; carries file, line and what to write instead
    ├── SourceDownError    the source cannot be reached or did not answer in time (retryable)
    │   └── SourceBusyError    it is well, and does not take on more at once
    └── SourceFaultError   the source answered nonsense: wrong shape, unmappable code, someone else's record

Messages name the adapter, the setting and the column, never a person's number, name or row.
"""

from __future__ import annotations


class AdapterError(Exception):
    """Base of the tree: `en` and `zh` say what was wrong and what to do."""

    retryable = False

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


class ManifestError(AdapterError):
    """The manifest is wrong."""

    def __init__(self, en: str, zh: str, *, file: str = "", line: int = 0, setting: str = "") -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + en, where + zh)
        self.file = file
        self.line = line
        self.setting = setting


class SourceDownError(AdapterError):
    """The source cannot be reached or did not answer in time."""

    retryable = True


class SourceBusyError(SourceDownError):
    """The source is well, and does not take on more at once: no reason to leave it alone."""


class SourceFaultError(AdapterError):
    """The source answered nonsense; nothing of the answer may be used."""
