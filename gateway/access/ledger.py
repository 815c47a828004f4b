"""The access policy: what the signed acts of a gateway's administrators add up to. I/O-free.

The rule, for each act in turn:

 1. It has the next number, is for this gateway, is in the one encoding, and is signed with the key of the person it
    names, who is enrolled, approved and not removed.
 2. The first act enrols the people of the beginning, each of the three separated roles at least once, and is signed by
    a system administrator among them. No later act does.
 3. Each person has one role, and names and keys are used once for ever, so nobody holds two roles.
 4. A person is added by a system administrator and counts once approved by a security or audit administrator of
    another role than the new one. Any of the three may remove a person, but not the last of a separated role.
 5. A grant is proposed by a security administrator. Where its terms exceed the thresholds it counts once approved by
    somebody else, an owner or another security administrator: nobody both grants and approves. Withdrawn is for ever.
    The thresholds bear on what counts, never on whether an act is in order. Grants that nobody approved have the
    people of a day in common (`policy.Entry.alone_day`): a large one is not to be had in several small ones.
 6. Protecting, unprotecting and clearing alarms go by the table of roles (people.py).
 7. Adapters of departments are proposed, approved by somebody else, and changed by the table of adapters.py.

An act that breaks the rule is refused; a record that holds one is broken, and then nothing is allowed.

Owns: this rule and the state it leads to. Refuses: keeping acts, the time, and deciding on questions (policy.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from gateway.access import people
from gateway.access.acts import SignedAct, Statement, read_act, verify_act
from gateway.access.adapters import Adapters
from gateway.access.people import ACTIVE, GONE, PROPOSED, Applicant, Person
from gateway.access.terms import Terms, Thresholds, read_terms
from gateway.errors import PolicyError

_ON_ADAPTERS: Final = (
    people.PROPOSE_ADAPTER,
    people.APPROVE_ADAPTER,
    people.PROMOTE_ADAPTER,
    people.SUSPEND_ADAPTER,
    people.RESUME_ADAPTER,
    people.REMOVE_ADAPTER,
)
_STATES: Final = {PROPOSED: "待批准", ACTIVE: "有效"}
DIGEST_BYTES: Final = 16
"""Of a protected person: the store's blind index of the identity number."""
MAX_PEOPLE: Final = 1000
MAX_REASON: Final = 400


class Grant(NamedTuple):
    """A grant and what became of it.

    Args:
        number: of the act that proposed it; people write it as g7.
        terms: what it allows.
        proposed_by, proposed_at_ms: who and when.
        approved_by, withdrawn_by: who did, "" where nobody has.
    """

    number: int
    terms: Terms
    proposed_by: str
    proposed_at_ms: int
    approved_by: str = ""
    withdrawn_by: str = ""

    @property
    def name(self) -> str:
        """How people write it."""
        return f"g{self.number}"


class Ledger:
    """The state after some acts. Changed by `apply` alone; an act that is refused changes nothing.

    Args:
        gateway: member whose policy it is.
        thresholds: what needs two persons.
    """

    def __init__(self, gateway: str, thresholds: Thresholds) -> None:
        self._gateway = gateway
        self.thresholds = thresholds
        self.number = 0
        self.people: dict[str, Person] = {}
        self.grants: dict[int, Grant] = {}
        self.protected: dict[bytes, int] = {}
        self.cleared: set[int] = set()
        self.adapters = Adapters()
        self._by_act: dict[str, Callable[[Statement], None]] = {
            people.FOUND_PEOPLE: _begun,
            people.ADD_PERSON: self._add_person,
            people.APPROVE_PERSON: self._approve_person,
            people.REMOVE_PERSON: self._remove_person,
            people.PROPOSE_GRANT: self._propose,
            people.APPROVE_GRANT: self._approve,
            people.WITHDRAW_GRANT: self._withdraw,
            people.PROTECT: self._protect,
            people.UNPROTECT: self._unprotect,
            people.CLEAR_ALARM: self._clear,
            **dict.fromkeys(_ON_ADAPTERS, self.adapters.apply),
        }

    def counts(self, grant: Grant) -> bool:
        """Whether a grant allows anything, apart from its time."""
        return not grant.withdrawn_by and bool(grant.approved_by or not self.thresholds.exceeded(grant.terms))

    def needs_approval(self, grant: Grant) -> list[str]:
        """The terms for which it waits for a second person; empty: it waits for nobody."""
        if grant.approved_by or grant.withdrawn_by:
            return []
        return self.thresholds.exceeded(grant.terms)

    def apply(self, act: SignedAct) -> Statement:
        """Take in one act; what it states.

        Raises:
            PolicyError: it breaks the rule; nothing was changed.
        """
        statement = read_act(act)
        if statement.number != act.number or act.number != self.number + 1:
            raise PolicyError(
                "somebody changed the policy meanwhile; look at it and do it again",
                "授权策略已被他人修改，请查看后重新操作",
                retryable=True,
            )
        if statement.gateway != self._gateway:
            raise PolicyError("the act is for another gateway", "该操作属于其他网关")
        if self.number == 0:
            self._found(statement, act)
        else:
            may = people.MAY.get(statement.act, frozenset()) if statement.act in self._by_act else frozenset[str]()
            self._require(statement, act, may)
            self._by_act[statement.act](statement)
        self.number = act.number
        return statement

    def require_may_look(self, look: SignedAct) -> Person:
        """Return when the person who signed may look at what is named (`people.MAY_LOOK`); that person.

        Args:
            look: a statement that bears no number of an act, so that it never counts as one.

        Raises:
            PolicyError: they may not, or it was not signed by them.
        """
        statement = read_act(look)
        if look.number or statement.number or statement.gateway != self._gateway:
            raise PolicyError("that is not a statement about looking at this gateway", "不是对本网关的查阅声明")
        return self._require(statement, look, people.MAY_LOOK.get(statement.act, frozenset()))

    def _require(self, statement: Statement, act: SignedAct, roles: frozenset[str]) -> Person:
        """Step 1, and the table of roles; the person."""
        person = self.people.get(statement.by)
        if person is None or person.state != ACTIVE:
            raise PolicyError(
                f"{statement.by} is not enrolled here, not approved yet, or removed; see `wugan access people list`",
                f"{statement.by} 未登记、尚未批准或已被移除，请查看 `wugan access people list`",
            )
        verify_act(act, person.public_key)
        if person.role not in roles:
            may = [people.TITLES[role] for role in people.ROLES if role in roles]
            role, act_words = people.TITLES[person.role], people.ACTS.get(statement.act, ("do that", "执行此操作"))
            raise PolicyError(
                f"a person in the role {role[0]} may not {act_words[0]}; that is for: "
                f"{', '.join(en for en, _ in may) or 'nobody'}",
                f"{role[1]}无权{act_words[1]}，应由以下角色执行：{'、'.join(zh for _, zh in may) or '无'}",
            )
        return person

    # people

    def _found(self, statement: Statement, act: SignedAct) -> None:
        if statement.act != people.FOUND_PEOPLE:
            raise PolicyError(
                "nobody is enrolled here yet; begin with `wugan access people found`",
                "尚未登记任何管理人员，请先执行 `wugan access people found`",
            )
        listed = _part(statement, "people", list)
        if len(listed) > MAX_PEOPLE:
            raise PolicyError("too many people at once", "人员过多")
        founded: dict[str, Person] = {}
        for entry in listed:
            role, applicant = _application(entry)
            person = Person(applicant.name, role, applicant.public_key, ACTIVE, statement.by, statement.by)
            _require_new(founded, person)
            founded[person.name] = person
        missing = sorted(set(people.SEPARATED) - {person.role for person in founded.values()})
        if missing:
            titles = [people.TITLES[role] for role in missing]
            raise PolicyError(
                f"three different people are needed at least; nobody is: {', '.join(en for en, _ in titles)}",
                f"至少需要三名不同人员（三员分立），缺少：{'、'.join(zh for _, zh in titles)}",
            )
        founder = founded.get(statement.by)
        if founder is None or founder.role not in people.MAY[people.FOUND_PEOPLE]:
            raise PolicyError(
                "the beginning is signed by a system administrator among the people named",
                "初始登记须由其中的系统管理员签署",
            )
        verify_act(act, founder.public_key)
        self.people = founded

    def _add_person(self, statement: Statement) -> None:
        role, applicant = _application(statement.body)
        person = Person(applicant.name, role, applicant.public_key, PROPOSED, statement.by)
        if len(self.people) >= MAX_PEOPLE:
            raise PolicyError("too many people are enrolled", "登记人员过多")
        _require_new(self.people, person)
        self.people[person.name] = person

    def _approve_person(self, statement: Statement) -> None:
        person = self._person(statement, PROPOSED)
        if self.people[statement.by].role == person.role:
            en, zh = people.TITLES[person.role]
            raise PolicyError(
                f"a new {en} is approved by an administrator of another role",
                f"新增{zh}须由其他角色的管理员批准",
            )
        self.people[person.name] = person._replace(state=ACTIVE, approved_by=statement.by)

    def _remove_person(self, statement: Statement) -> None:
        person = self._person(statement, PROPOSED, ACTIVE)
        active = Counter(each.role for each in self.people.values() if each.state == ACTIVE)
        if person.state == ACTIVE and person.role in people.SEPARATED and active[person.role] == 1:
            en, zh = people.TITLES[person.role]
            raise PolicyError(
                f"{person.name} is the last {en}; add and approve another one first",
                f"{person.name} 是最后一名{zh}，请先新增并批准他人",
            )
        self.people[person.name] = person._replace(state=GONE)

    def _person(self, statement: Statement, *states: str) -> Person:
        name = _part(statement, "name", str)
        person = self.people.get(name)
        if person is None or person.state not in states:
            found = "、".join(_STATES[state] for state in states)
            raise PolicyError(
                f"there is no such person with state {' or '.join(states)}; see `wugan access people list`",
                f"没有状态为“{found}”的该人员，请查看 `wugan access people list`",
            )
        return person

    # grants

    def _propose(self, statement: Statement) -> None:
        terms = read_terms(statement.body)
        self.grants[statement.number] = Grant(statement.number, terms, statement.by, statement.at_ms)

    def _approve(self, statement: Statement) -> None:
        grant = self._grant(statement)
        # Not refused where nothing waits for it: the thresholds are settings, and history must hold under other ones.
        if grant.approved_by:
            raise PolicyError(f"{grant.name} is approved already", f"{grant.name} 已批准")
        if grant.proposed_by == statement.by:
            raise PolicyError(
                f"{statement.by} proposed {grant.name}; it takes another person to approve it",
                f"{grant.name} 由 {statement.by} 提出，须由另一人批准",
            )
        self.grants[grant.number] = grant._replace(approved_by=statement.by)

    def _withdraw(self, statement: Statement) -> None:
        _reason(statement)
        grant = self._grant(statement)
        self.grants[grant.number] = grant._replace(withdrawn_by=statement.by)

    def _grant(self, statement: Statement) -> Grant:
        number = _part(statement, "grant", int)
        grant = self.grants.get(number)
        if grant is None or grant.withdrawn_by:
            raise PolicyError(
                f"there is no grant g{number}, or it was withdrawn; see `wugan access list`",
                f"没有授权 g{number}，或已撤回，请查看 `wugan access list`",
            )
        return grant

    # persons asked about, alarms

    def _protect(self, statement: Statement) -> None:
        _reason(statement)
        digest = _digest(statement)
        if digest in self.protected:
            raise PolicyError("this person is protected already", "该人员已在特别保护名单中")
        self.protected[digest] = statement.number

    def _unprotect(self, statement: Statement) -> None:
        _reason(statement)
        if self.protected.pop(_digest(statement), None) is None:
            raise PolicyError("this person is not protected", "该人员不在特别保护名单中")

    def _clear(self, statement: Statement) -> None:
        _reason(statement)
        self.cleared.add(_part(statement, "alarm", int))


def _begun(_statement: Statement) -> None:
    raise PolicyError(
        "the first people are enrolled already; others come one by one: `wugan access people add`",
        "首批人员已登记，其他人员请用 `wugan access people add` 逐一登记",
    )


def _require_new(known: Mapping[str, Person], person: Person) -> None:
    if person.name in known or any(person.public_key == each.public_key for each in known.values()):
        raise PolicyError(
            "this name or this key was enrolled before; a person has one role, one name and one key, for good",
            "该名称或密钥已登记过；一人一角色、一名称、一密钥，不得重复使用",
        )


def _application(body: object) -> tuple[str, Applicant]:
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("application"), str)
        or set(body) != {"application", "role"}
    ):
        raise PolicyError("an application and a role are needed", "缺少申请或角色")
    if body["role"] not in people.ROLES:
        raise PolicyError(
            f"unknown role; write one of {', '.join(people.ROLES)}", f"未知角色，应为 {'、'.join(people.ROLES)} 之一"
        )
    return body["role"], Applicant.parse(body["application"])


def _digest(statement: Statement) -> bytes:
    try:
        digest = bytes.fromhex(_part(statement, "person", str))
    except ValueError:
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise PolicyError("a person is named by the store's keyed digest", "人员应以存储密钥摘要标识")
    return digest


def _reason(statement: Statement) -> None:
    why = _part(statement, "why", str)
    if not why.strip() or len(why) > MAX_REASON or not why.isprintable():
        raise PolicyError(f"say why, in {MAX_REASON} characters", f"请说明理由（{MAX_REASON} 字内）", field="why")


def _part(statement: Statement, name: str, kind: type) -> Any:
    value = statement.body.get(name)
    if type(value) is not kind:
        raise PolicyError(f"the act lacks {name}", f"操作缺少 {name}", field=name)
    return value
