"""The conformance kit: dozens of cases that any adapter, ours or foreign, has to pass.

See docs/adapters/conformance.md.
"""

from adapters.conformance.case import Case, Group, Outcome, Say
from adapters.conformance.kit import Bounds
from adapters.conformance.running import ALL_CASES, Report, Result, conform
from adapters.conformance.sample import Person, Sample, SampleError
from adapters.conformance.target import ManifestTarget, ProgramTarget, RemoteTarget, StartedTarget, Target

__all__ = [
    "ALL_CASES",
    "Bounds",
    "Case",
    "Group",
    "ManifestTarget",
    "Outcome",
    "Person",
    "ProgramTarget",
    "RemoteTarget",
    "Report",
    "Result",
    "Sample",
    "SampleError",
    "Say",
    "StartedTarget",
    "Target",
    "conform",
]
