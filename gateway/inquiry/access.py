"""Who may ask what: the answering side's own decision, read from its own policy. Default deny.

Owns: the decision for a question as a whole. Refuses: looking at people or evidence; what an answer may carry is
decided by the disclosure table of the rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.descriptor import EnumDescriptor

from gateway.config import ANY
from gateway.errors import AccessError
from wugan.adapter.v1 import vocabulary_pb2 as adapter_words
from wugan.federation.v1 import vocabulary_pb2 as words


class AccessPolicy:
    """The grants of one gateway, expanded to a table member × purpose → benefits.

    A question is allowed when, for its member and purpose, some grant names each of its benefits. Members, purposes and
    benefits may be "*". What no grant names is denied; there is no rule that takes a grant back but its removal.
    """

    def __init__(self, grants: Iterable[tuple[Iterable[str], Iterable[str], Iterable[str]]]) -> None:
        """`grants`: (member ids, purpose names, benefit names) each, names as in gateway.toml."""
        self._table: dict[tuple[str, int], frozenset[int]] = {}
        for members, purposes, benefits in grants:
            allowed = _numbers(benefits, "BENEFIT_TYPE_", words.BenefitType.DESCRIPTOR)
            for purpose in _numbers(purposes, "PURPOSE_", adapter_words.Purpose.DESCRIPTOR):
                for member in members:
                    key = (member, purpose)
                    self._table[key] = self._table.get(key, frozenset()) | allowed

    def authorise(self, member_id: str, purpose: int, benefits: Iterable[int]) -> None:
        """Return when the member may ask for this purpose about all of these benefits.

        Raises:
            AccessError: MEMBER_NOT_PERMITTED, PURPOSE_NOT_PERMITTED or BENEFIT_NOT_PERMITTED, the first that applies.
        """
        nothing: frozenset[int] = frozenset()
        allowed = self._table.get((member_id, purpose), nothing) | self._table.get((ANY, purpose), nothing)
        if not allowed:
            if not any(member in (member_id, ANY) for member, _ in self._table):
                raise AccessError(
                    "this member has no access here; ask the answering member's administrator for a grant",
                    "贵单位尚未获得本方授权，请联系答复方管理员开通",
                    reason=words.REFUSAL_REASON_MEMBER_NOT_PERMITTED,
                )
            raise AccessError(
                "no grant allows this purpose; use a purpose that was agreed, or ask for a grant",
                "该查询目的未获授权，请使用已约定的目的或申请授权",
                reason=words.REFUSAL_REASON_PURPOSE_NOT_PERMITTED,
                field="context.purpose",
            )
        if not allowed.issuperset(benefits):
            raise AccessError(
                "no grant allows this type of benefit for this purpose; ask for a grant",
                "该目的下未获授权查询此险种，请申请授权",
                reason=words.REFUSAL_REASON_BENEFIT_NOT_PERMITTED,
                field="benefit",
            )


def _numbers(names: Iterable[str], prefix: str, enum: EnumDescriptor) -> frozenset[int]:
    found: set[int] = set()
    for name in names:
        if name == ANY:
            found.update(value.number for value in enum.values if value.number)
        else:
            found.add(enum.values_by_name[prefix + name].number)
    return frozenset(found)
