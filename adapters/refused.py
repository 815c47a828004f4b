"""What a database's error means for a record set, and which columns it lacks.

Owns: finding the columns out once a statement was refused, and saying so. Refuses: asking twice where all is well.
"""

from __future__ import annotations

from contextlib import suppress

from adapters.database import Database, DatabaseError, Statement, Work
from adapters.errors import SourceDownError, SourceFaultError
from adapters.lacking import Wanting, told


def fault_of(
    error: DatabaseError, name: str, statement: Statement, database: Database, work: Work, wanted: Wanting
) -> SourceDownError | SourceFaultError:
    """What a database's error means for a record set; where it lacks columns, which, and what wants them.

    Args:
        error: of the statement.
        name: of the record set.
        statement: that failed.
        database: that is asked again, column by column, where it refused the statement.
        work: the lookup in progress.
        wanted: of the record set.
    """
    lacks: tuple[str, ...] = ()
    if error.refused:
        with suppress(DatabaseError):  # it went down meanwhile: then what it said first is told
            lacks = database.lacking(statement, work)
    if not lacks:
        return error.as_adapter_error(name)
    en, zh = told(lacks, wanted)
    return SourceFaultError(
        f"{name!r} has no column {en} that may be read; mend the manifest, or have the column or the right restored",
        f"{name!r} 中没有可读取的列 {zh}，请修正清单，或恢复该列或其读取权限",
    )
