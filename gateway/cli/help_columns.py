"""Help pages in Chinese: lines by the columns that they take, and lists of commands of which nothing is cut off.

The command line library counts characters, of which a Chinese one takes two columns, and breaks lines and shortens
texts at blanks, of which Chinese has none: lists then say "..." and nothing else.

Owns: putting that right where the library does it. Refuses: texts (`gateway.cli.command_words`).
"""

from __future__ import annotations

from typing import Final

import click
from click import _textwrap, formatting

_FULL_STOP: Final = "。"


class _Wrapper(_textwrap.TextWrapper):
    """The library's, with lines broken as Chinese is."""

    def wrap(self, text: str) -> list[str]:
        """Lines of at most `width` columns, indents included."""
        from gateway.cli.tables import lines_of

        room = self.width - max(columns(self.initial_indent), columns(self.subsequent_indent))
        lines = list(lines_of(" ".join(text.split()), max(room, 2)))
        return [(self.subsequent_indent if at else self.initial_indent) + line for at, line in enumerate(lines)]


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    from rich.cells import cell_len

    return cell_len(click.unstyle(text))


def sentence(command: click.Command, limit: int = 45) -> str:
    """What a list of commands says of one: the first sentence of its help, however long; lines are broken later."""
    text = (command.short_help or command.help or "").partition("\n\n")[0]
    told, stop, _ = text.partition(_FULL_STOP)
    return (told + stop).strip()


def by_columns() -> None:
    """Have the library lay pages out so."""
    for module in (_textwrap, formatting):
        setattr(module, "term_len", columns)  # noqa: B010  not a name that the library gives out
    setattr(_textwrap, "TextWrapper", _Wrapper)  # noqa: B010
    setattr(click.Command, "get_short_help_str", sentence)  # noqa: B010
