"""The cases, by what they are about; importing this fills `adapters.conformance.case.TABLE`, in the report's order."""

from adapters.conformance.cases import (  # noqa: I001  the order of the report
    describing as describing,
    batches as batches,
    people as people,
    wrong as wrong,
    naming as naming,
    filters as filters,
    unreadable as unreadable,
    sameness as sameness,
    timing as timing,
    shape as shape,
    contents as contents,
    clocks as clocks,
    restarting as restarting,
    following as following,
)
