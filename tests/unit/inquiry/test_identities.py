"""Whose number is whose: links are followed from number to number, as often and as many as for a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from adapters.errors import SourceDownError
from gateway.inquiry.asking import MAX_ROUNDS, Departments
from gateway.inquiry.gathering import MAX_LINKS
from gateway.inquiry.identities import linked_numbers
from tests.unit.inquiry.test_asking_rounds import OTHER, A, B, C, D, Linking, N, chain, numbers, pairs
from tests.unit.rules.rules_world import BOOK
from tests.unit.services.gateways_world import Register


def linking(links: Mapping[str, Sequence[str]]) -> Linking:
    return Linking(links, {number: [] for number in [*N, OTHER]})


async def linked(
    *departments: Register, people: Sequence[str] = (A,), time_s: float = 5.0
) -> tuple[dict[str, tuple[str, ...]], bool]:
    side = Departments(departments, BOOK.names_match)
    return await linked_numbers(side, list(people), time_s, "社会保险法 第七十四条")


async def test_who_has_one_number_costs_one_look_and_a_changed_number_two() -> None:
    police = linking(pairs((B, C)))
    assert await linked(police, people=(A, OTHER)) == ({}, True)
    assert numbers(police) == [[A, OTHER]]
    police.asked.clear()
    assert await linked(police, people=(A, B)) == ({B: (C,)}, True)
    assert numbers(police) == [[A, B], [C]]


async def test_each_change_is_followed_as_far_as_a_question_follows_it() -> None:
    police = linking(chain(MAX_ROUNDS + 2))
    found, whole = await linked(police)
    assert found == {A: tuple(N[1:MAX_ROUNDS])}
    assert whole
    assert len(police.asked) == MAX_ROUNDS - 1


async def test_links_of_several_departments_and_people_are_put_together() -> None:
    police, civil = linking({A: [B], OTHER: [C]}), linking({B: [D], C: [D]})
    found, whole = await linked(police, civil, people=(A, OTHER))
    assert found == {A: (B, D), OTHER: (C, D)}
    assert whole
    assert numbers(civil) == [[A, OTHER], [B, C], [D]], "each number once in a round"


async def test_numbers_that_link_each_other_end() -> None:
    police = linking({A: [B, A], B: [A, C], C: [B, A]})
    assert await linked(police) == ({A: (B, C)}, True)


async def test_no_more_numbers_than_of_a_question_are_followed() -> None:
    police = linking({A: N[1 : MAX_LINKS + 3], N[1]: N[MAX_LINKS + 3 :]})
    found, _ = await linked(police)
    assert found == {A: tuple(N[1 : MAX_LINKS + 1])}
    assert len(numbers(police)[1]) == MAX_LINKS


@pytest.mark.parametrize("late", [SourceDownError("down", "不可用"), 0.2], ids=["fails", "takes too long"])
async def test_it_is_not_whole_where_a_later_look_fails(late: Exception | float) -> None:
    police = linking(chain(3))
    police.late[2] = late
    assert await linked(police, time_s=0.1) == ({A: (B,)}, False)
