"""The data catalogue: needs read off the rules, offers off manifests and the directory, and what is between them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner

import adapters
from adapters.build import load_manifest
from gateway.catalogue import CATALOGUE_FILE
from gateway.catalogue.basis import Terms
from gateway.catalogue.gaps import Gap, Lack, gaps_of
from gateway.catalogue.needs import Group, Level, Need, needs_of
from gateway.catalogue.offers import NOT_TOLD, Delivery, Offer, manifests_in, of_manifest, of_member, provinces_of
from gateway.catalogue.tables import Table
from gateway.catalogue.writing import as_csv, as_markdown, as_xlsx
from gateway.cli import main
from gateway.errors import ConfigError
from gateway.federation.directory import Member
from gateway.rules import RULES_FILE
from gateway.rules.book import RuleBook
from gateway.rules.kinds import KINDS
from gateway.wording import Word
from wugan.adapter.v1 import vocabulary_pb2 as a
from wugan.federation.v1 import directory_pb2
from wugan.federation.v1 import vocabulary_pb2 as f

TEMPLATES = Path(adapters.__file__).parent / "departments"
ZHEJIANG, JINHUA, SHAOXING = 330000, 330700, 330600
BOOK = RuleBook.parse(RULES_FILE.read_bytes(), "rules.yaml")
TERMS = Terms.parse(CATALOGUE_FILE.read_bytes(), "catalogue.yaml")
NEEDS = needs_of(BOOK)


def need(benefit: int, kind: int) -> Need | None:
    return next((one for one in NEEDS if (one.benefit, one.kind) == (benefit, kind)), None)


def offer(kind: int, department: int, *regions: int, days: int = 1, benefits: tuple[int, ...] = ()) -> Offer:
    named = frozenset(benefits)
    return Offer("x", Word("", ""), department, kind, regions or (ZHEJIANG,), 5, days, Delivery.TABLE, False, named)


def all_but(*kinds: int) -> list[Offer]:
    """Offers of everything there is but some kinds."""
    wanted = {(one.kind, one.department) for one in NEEDS if one.kind not in kinds}
    return [offer(kind, department) for kind, department in sorted(wanted)]


def lacking(offers: list[Offer], *regions: int, least: Level = Level.IMPORTANT) -> list[Gap]:
    return gaps_of(BOOK, TERMS, NEEDS, offers, regions or (ZHEJIANG,), least=least)


@pytest.fixture(autouse=True)
def log_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command sets up the log of its own process, which here is that of all other tests."""
    monkeypatch.setattr("gateway.log.configure", lambda *_: None)


# needs


def test_every_benefit_needs_every_confirming_death_and_every_trace() -> None:
    for benefit in [number for number in f.BenefitType.values() if number]:
        cremation = need(benefit, a.EVIDENCE_KIND_CREMATION)
        assert cremation is not None
        assert cremation.level is Level.ESSENTIAL
        kinds = {one.kind for one in NEEDS if one.benefit == benefit and one.group is Group.TRACE}
        assert kinds == {number for number in KINDS.values() if number < 100}


def test_a_need_matters_as_much_as_the_rule_makes_of_it() -> None:
    pension, dependant = f.BENEFIT_TYPE_EMPLOYEE_PENSION, f.BENEFIT_TYPE_WORK_DEATH_DEPENDANT
    assert need(pension, a.EVIDENCE_KIND_MARRIAGE) is None
    married = need(dependant, a.EVIDENCE_KIND_MARRIAGE)
    assert married is not None
    assert (married.level, married.period_days) == (Level.ESSENTIAL, 3650)
    emigrated = need(pension, a.EVIDENCE_KIND_EMIGRATED)
    assert emigrated is not None
    assert emigrated.level is Level.IMPORTANT
    injured = need(f.BENEFIT_TYPE_WORK_INJURY, a.EVIDENCE_KIND_IMPRISONED)
    assert injured is not None
    assert injured.level is Level.USEFUL
    assert need(f.BENEFIT_TYPE_WORK_INJURY, a.EVIDENCE_KIND_DETAINED) is None


def test_a_stricter_rule_makes_a_stronger_need() -> None:
    text = RULES_FILE.read_text("utf-8").replace("WORK_INJURY: {IMPRISONED: note,", "WORK_INJURY: {IMPRISONED: ends,")
    changed = needs_of(RuleBook.parse(text.encode(), "rules.yaml"))
    found = {one.level for one in changed if one.benefit == f.BENEFIT_TYPE_WORK_INJURY and one.group is Group.PENAL}
    assert found == {Level.ESSENTIAL}


def test_a_trace_that_can_never_carry_a_grade_is_only_useful() -> None:
    pharmacy = need(f.BENEFIT_TYPE_EMPLOYEE_PENSION, a.EVIDENCE_KIND_PHARMACY)
    outpatient = need(f.BENEFIT_TYPE_EMPLOYEE_PENSION, a.EVIDENCE_KIND_OUTPATIENT)
    assert pharmacy is not None
    assert outpatient is not None
    assert (pharmacy.level, outpatient.level) == (Level.USEFUL, Level.IMPORTANT)


# terms


def test_every_source_of_the_terms_is_one_that_the_project_names_elsewhere() -> None:
    basis = TERMS.basis(need(f.BENEFIT_TYPE_EMPLOYEE_PENSION, a.EVIDENCE_KIND_IMPRISONED))  # type: ignore[arg-type]
    assert basis[0].zh == "劳社厅函〔2001〕44 号"
    documents = "".join(
        (Path(__file__).parents[3] / name).read_text("utf-8")
        for name in ("docs/rules.md", "gateway/rules/rules.yaml", "docs/glossary.md")
    ).replace(" ", "")
    for mark in ("劳社厅函〔2001〕44号", "第五十一条", "第四十二条", "第18号", "人社部发〔2014〕17号", "第四十八条"):
        assert mark in documents, mark


def test_where_the_rule_is_local_the_province_is_asked_to_name_it() -> None:
    resident = need(f.BENEFIT_TYPE_RESIDENT_PENSION, a.EVIDENCE_KIND_IMPRISONED)
    employee = need(f.BENEFIT_TYPE_EMPLOYEE_PENSION, a.EVIDENCE_KIND_IMPRISONED)
    assert resident is not None
    assert employee is not None
    assert (TERMS.local(resident), TERMS.local(employee)) == (True, False)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("always: [SHARING", "always: [SHARED", "always"),
        ("PENAL: 60", "PENAL: -1", "wanted_days.groups.PENAL"),
        ("  NON_WORK_DEATH_DEPENDANT: {}\n", "", "benefits.NON_WORK_DEATH_DEPENDANT"),
        ("  DECLARED_DEAD: [", "  DECLARED_DAED: [", "kinds.DECLARED_DAED"),
    ],
)
def test_wrong_terms_are_refused_by_their_path(old: str, new: str, field: str) -> None:
    text = CATALOGUE_FILE.read_text("utf-8")
    assert old in text
    with pytest.raises(ConfigError) as caught:
        Terms.parse(text.replace(old, new, 1).encode(), "catalogue.yaml")
    assert caught.value.field == field


# gaps


def test_with_everything_offered_nothing_is_lacking() -> None:
    assert lacking(all_but(), least=Level.USEFUL) == []


def test_what_nobody_offers_is_a_gap_of_the_benefits_that_need_it() -> None:
    gap = lacking(all_but(a.EVIDENCE_KIND_MARRIAGE, a.EVIDENCE_KIND_DIVORCE))
    assert [(one.lack, one.kind, one.level) for one in gap] == [
        (Lack.MISSING, a.EVIDENCE_KIND_MARRIAGE, Level.ESSENTIAL)
    ]
    assert gap[0].benefits == (f.BENEFIT_TYPE_WORK_DEATH_DEPENDANT, f.BENEFIT_TYPE_NON_WORK_DEATH_DEPENDANT)


def test_one_of_several_departments_is_enough_and_another_does_not_count() -> None:
    declared = a.EVIDENCE_KIND_DECLARED_DEAD
    others = all_but(declared)
    assert lacking([*others, offer(declared, a.DEPARTMENT_COURTS)]) == []
    bank = lacking([*others, offer(declared, a.DEPARTMENT_BANKS)])
    assert [one.kind for one in bank] == [declared]
    assert len(bank[0].departments) == 3


def test_an_offer_for_one_city_leaves_the_province_partly_open_and_the_city_whole() -> None:
    cremation = a.EVIDENCE_KIND_CREMATION
    offers = [*all_but(cremation), offer(cremation, a.DEPARTMENT_CIVIL_AFFAIRS, JINHUA)]
    partial = lacking(offers)
    assert [(one.lack, one.parts) for one in partial] == [(Lack.PARTIAL, (JINHUA,))]
    assert lacking(offers, JINHUA) == []
    assert [one.lack for one in lacking(offers, SHAOXING)] == [Lack.MISSING]


def test_what_comes_too_late_is_a_gap_unless_another_source_is_quicker() -> None:
    cremation, department = a.EVIDENCE_KIND_CREMATION, a.DEPARTMENT_CIVIL_AFFAIRS
    late = [*all_but(cremation), offer(cremation, department, days=45)]
    gap = lacking(late)
    assert [(one.lack, one.offered_days, one.wanted_days) for one in gap] == [(Lack.LATE, 45, 30)]
    assert lacking([*late, offer(cremation, department, days=10)]) == []
    assert lacking([*late, offer(cremation, department, days=NOT_TOLD)]) == []


def test_an_offer_for_one_benefit_serves_no_other() -> None:
    cremation = a.EVIDENCE_KIND_CREMATION
    only = offer(cremation, a.DEPARTMENT_CIVIL_AFFAIRS, benefits=(f.BENEFIT_TYPE_WORK_INJURY,))
    gap = lacking([*all_but(cremation), only])
    assert f.BENEFIT_TYPE_WORK_INJURY not in gap[0].benefits
    assert f.BENEFIT_TYPE_EMPLOYEE_PENSION in gap[0].benefits


def test_traces_of_one_department_alone_certify_nobody() -> None:
    traces = {one.kind for one in NEEDS if one.group is Group.TRACE}
    health = {one.kind for one in NEEDS if one.department == a.DEPARTMENT_HEALTH_INSURANCE} & traces
    alone = all_but(*(traces - health))
    assert Lack.GRADE in {one.lack for one in lacking(alone)}
    card = offer(a.EVIDENCE_KIND_CITIZEN_CARD, a.DEPARTMENT_TRANSPORT)
    assert Lack.GRADE not in {one.lack for one in lacking([*alone, card])}
    weak = [offer(a.EVIDENCE_KIND_PHARMACY, a.DEPARTMENT_HEALTH_INSURANCE), card]
    assert Lack.GRADE in {one.lack for one in lacking([*all_but(*traces), *weak])}


def test_a_face_check_and_the_certification_it_led_to_certify_nobody() -> None:
    traces = [one.kind for one in NEEDS if one.group is Group.TRACE]
    face = offer(a.EVIDENCE_KIND_FACE_CHECK, a.DEPARTMENT_FACE_AUTHENTICATION)
    own = offer(a.EVIDENCE_KIND_OWN_CERTIFICATION, a.DEPARTMENT_SOCIAL_INSURANCE)
    rail = offer(a.EVIDENCE_KIND_RAIL_TRAVEL, a.DEPARTMENT_TRANSPORT)
    assert Lack.GRADE in {one.lack for one in lacking([*all_but(*traces), face, own])}
    assert Lack.GRADE not in {one.lack for one in lacking([*all_but(*traces), face, rail])}


def test_a_province_without_a_member_is_told_first() -> None:
    gaps = gaps_of(BOOK, TERMS, NEEDS, [], (), unserved=(540000,))
    assert [(one.region, one.lack) for one in gaps] == [(540000, Lack.UNSERVED)]


# offers


def test_the_templates_offer_what_they_describe() -> None:
    offers = [one for manifest in manifests_in([TEMPLATES]) for one in of_manifest(manifest)]
    cremation = next(one for one in offers if one.kind == a.EVIDENCE_KIND_CREMATION)
    assert (cremation.by, cremation.title.zh, cremation.freshness_days) == ("civil-affairs", "火化登记", 15)
    assert cremation.delivery is Delivery.TABLE
    assert provinces_of(offers) == (ZHEJIANG,)
    assert {one.delivery for one in offers} == {Delivery.TABLE, Delivery.FILE, Delivery.INTERFACE}


def member(**offered: list[int]) -> Member:
    told = directory_pb2.Offer(**offered)  # type: ignore[arg-type]
    return Member("11420000000000000X", "湖北", "Hubei", frozenset({420000}), (), {}, (), told)


def test_a_members_kinds_are_those_of_the_departments_it_lists() -> None:
    kinds = [a.EVIDENCE_KIND_DECLARED_DEAD, a.EVIDENCE_KIND_CREMATION]
    told = of_member(member(departments=[a.DEPARTMENT_COURTS], kinds=kinds), BOOK)
    assert [(one.kind, one.department) for one in told] == [(a.EVIDENCE_KIND_DECLARED_DEAD, a.DEPARTMENT_COURTS)]
    by_department = of_member(member(departments=[a.DEPARTMENT_BANKS]), BOOK)
    assert {one.department for one in by_department} == {a.DEPARTMENT_BANKS}
    assert of_member(member(), BOOK) == []
    assert of_member(member(departments=[a.DEPARTMENT_BANKS], kinds=[9999]), BOOK) == []


# files and commands


def test_a_file_runs_nothing_and_breaks_no_table() -> None:
    table = Table("t", "T", ("a", "b"), ("A", "B"), (("=1+1", 7), ("x|y\nz", 0)))
    assert next(csv.reader(io.StringIO(as_csv([table]).decode("utf-8-sig")))) == ["A", "B"]
    assert "'=1+1" in as_csv([table]).decode("utf-8-sig")
    assert "x\\|y z" in as_markdown([table]).decode()
    sheet = openpyxl.load_workbook(io.BytesIO(as_xlsx([table])))["T"]
    assert [cell.value for cell in sheet[2]] == ["=1+1", 7]
    assert sheet["A2"].data_type == "s"


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WUGAN_LANG", "zh")


@pytest.mark.parametrize("ending", ["xlsx", "md", "csv", "json"])
@pytest.mark.usefixtures("chinese")
def test_the_catalogue_is_exported(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"清单.{ending}"
    ran = CliRunner().invoke(main, ["catalogue", "export", str(path), str(TEMPLATES)])
    assert ran.exit_code == 0, ran.output
    if ending == "xlsx":
        assert openpyxl.load_workbook(path).sheetnames == ["数据需求清单", "数据缺口"]
        return
    text = path.read_text("utf-8-sig")
    assert "火化登记" in text
    if ending == "json":
        rows = json.loads(text)["catalogue"]
        assert {row["region"] for row in rows} == {"330000 浙江"}


@pytest.mark.usefixtures("chinese")
def test_gaps_are_told_and_fail_where_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "only.yaml").write_bytes((TEMPLATES / "transport.yaml").read_bytes())
    command = ["catalogue", "gaps", str(tmp_path), "--benefit", "WORK_DEATH_DEPENDANT", "--json"]
    ran = CliRunner().invoke(main, [*command, "--strict"])
    assert ran.exit_code == 1
    told = {(row["item"], row["lack"]) for row in json.loads(ran.output)["gaps"]}
    assert ("结婚登记", "无人提供") in told
    assert ("–", "轨迹不足，无法数据认证") in told
    assert CliRunner().invoke(main, command).exit_code == 0


@pytest.mark.parametrize(
    "wrong",
    [[], [str(TEMPLATES), "--benefit", "LOTTERY"], [str(TEMPLATES), "--region", "990000"], [str(CATALOGUE_FILE)]],
    ids=["nothing", "benefit", "region", "manifest"],
)
def test_wrong_usage_is_told(wrong: list[str]) -> None:
    ran = CliRunner().invoke(main, ["catalogue", "show", *wrong])
    assert ran.exit_code == 2


def test_a_department_that_pushes_is_one_whose_changes_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "burials.yaml"
    path.write_text(
        "manifest: 1\nadapter_id: burials\nversion: 1\ndepartment: CIVIL_AFFAIRS\nregions: [330700]\nkind: remote\n"
        "source: {address: 'burials.example:7443', tls_name: burials.example}\n"
        "offers: {items: [{evidence: BURIAL, strength: REAL_NAME}], pushes: true}\n"
    )
    (offer,) = of_manifest(load_manifest(path))
    assert offer.changes
