"""Whom and what a grant leaves out: which departments are asked, and who looks as if nobody knew them.

The rule of the equal look: somebody who may not be told of, because the person is under special protection or because
nothing places the person in the grant's regions, is answered for exactly like somebody whom no department knows. The
departments are asked about both alike, and what they say of the one is dropped before grading, so that content and
size come out the same by themselves. Where regions are what leaves people out, everybody who was not placed in them by
what was answered so far is asked about in every further round, known or not, because some are asked about again under
a linked number (none is where no department links numbers). What fails then is told of if somebody was asked about
under a new number who may be told of; otherwise nothing is missing.

Further numbers that the asker gives for a person are the person's for all that anybody can see, or somebody else's,
whom the asker tries to find out about. So each of them is judged by itself, as if it had been asked about alone, and
only what may be told of it so is the person's. Where a department links the two, what places one places the other,
and one that leads to a protected one is protected.

Owns: this rule's judgements. Refuses: asking, grading, and telling anybody which of the two it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from adapters.contract import Description
from gateway.access.terms import is_part
from gateway.rules.columns import Int32, Mask
from gateway.rules.disclosure import within


class Narrowing:
    """What one grant, and the list of protected persons, leave out.

    Args:
        regions: GB/T 2260 codes of the grant; empty: all.
        protected: digests of protected persons.
        digest: makes such a digest of a normalised number.
    """

    def __init__(
        self,
        regions: Iterable[int] = (),
        protected: frozenset[bytes] = frozenset(),
        digest: Callable[[str], bytes] | None = None,
    ) -> None:
        """Raises ValueError for protected people without a digest, who would not be found."""
        if protected and digest is None:
            raise ValueError("protected people need a digest")
        self.regions = tuple(regions)
        self.protects = bool(protected)
        """Whether anybody is protected."""
        self.apart = bool(protected or self.regions)
        """Whether further numbers are judged by themselves; where nobody is left out, all are told of alike."""
        self._protected = protected
        self._digest = digest

    def asks(self, about: Description) -> bool:
        """Whether a department is asked: it serves a part of the regions, or a place that has a part of them."""
        if not self.regions or not about.regions:
            return True
        return any(is_part(own, ours) or is_part(ours, own) for own in about.regions for ours in self.regions)

    def holds(self, about: Description) -> bool:
        """Whether all that a department serves lies in the regions, so that whomever it knows does too."""
        return bool(about.regions) and all(any(is_part(own, ours) for ours in self.regions) for own in about.regions)

    def places(self, region: Int32) -> Mask:
        """Which rows of evidence lie in the regions; one without a place does not."""
        return within(region, self.regions)

    def is_protected(self, number: str) -> bool:
        """Whether a normalised number is that of a protected person."""
        return bool(self._protected) and self._digest is not None and self._digest(number) in self._protected

    def all_protected(self, numbers: Sequence[str]) -> list[int]:
        """Places of the protected ones among numbers."""
        return [place for place, number in enumerate(numbers) if self.is_protected(number)]


EVERYBODY = Narrowing()
"""Leaves nobody out."""
