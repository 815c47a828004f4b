"""`wugan adapter new`: a manifest to begin with, commented, for a department and a kind.

Owns: choosing the template and putting name and regions in. Refuses: guessing columns: what it writes passes `wugan
adapter check` as far as its form goes, and names the places that a person fills in.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from gateway.cli import EXIT_USAGE
from gateway.cli.access_common import fail
from gateway.cli.files import write_text
from gateway.cli.language import say

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_KINDS: Final = ("table", "api", "file")

_SOURCES: Final = {
    "table": """\
source:
  # 数据库地址；口令写成环境变量。Address of the database; a password stands in a variable.
  url: postgresql+psycopg://reader:${DATABASE_PASSWORD}@db.example.internal:5432/share
""",
    "api": """\
source:
  base_url: https://share.example.internal/api
  # 密钥放在文件或环境变量中。Keys stand in a file or a variable, never here.
  headers: {X-Api-Key: "file:/run/secrets/api_key"}
""",
    "file": """\
# 文件落地目录；须已存在。Folder into which files are dropped; it has to exist.
source: {folder: /var/lib/wugan/drop/NAME}
""",
}
_PLACES: Final = {
    "table": """\
    table: records                       # 表或视图，或用 query 写一条 SELECT。Table or view, or a query.
""",
    "api": """\
    endpoint:
      path: /persons/records
      ids_per_request: 100               # 一次请求的人数。People in one request.
      body: {ids: $ids}
      rows: data                         # 应答中记录列表的路径。Path of the list of rows in the answer.
""",
    "file": """\
    # 全量 snapshot 或增量 increment；增量须写 key。Whole, or increments, which need a key.
    files: {pattern: "records_*.csv", mode: snapshot, encoding: auto}
""",
}


@click.command(
    help=say(
        "Write a commented manifest to begin with: for a department, in the way in which it shares its data. Fill in, "
        "prove it with `wugan adapter check`, then `wugan adapter register`.",
        "生成一份带注释的清单作为起点：按部门与共享方式。填写后用 `wugan adapter check` 检查，"
        "再用 `wugan adapter register` 登记。",
    )
)
@click.argument("department")
@click.option(
    "--kind",
    type=click.Choice(_KINDS),
    default=None,
    help=say("how it shares its data (default: as such departments usually do)", "共享方式（默认按该部门常见方式）"),
)
@click.option("--id", "adapter_id", default="", help=say("stable name; a-z 0-9 - _", "接入标识，a-z 0-9 - _"))
@click.option(
    "--region",
    "regions",
    multiple=True,
    type=click.IntRange(110000, 829999),
    default=[330000],
    help=say("GB/T 2260 code it can answer for; repeatable", "可答复的行政区划代码，可重复"),
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help=say(
        "file to write (default: the screen); never one that is there", "写入的文件（默认输出到屏幕）；不覆盖已有文件"
    ),
)
def new(department: str, kind: str | None, adapter_id: str, regions: tuple[int, ...], out: Path | None) -> None:
    """Write a template."""
    from adapters.manifest.vocabulary import DEPARTMENTS, closest

    word = department.upper().replace("-", "_")
    if word not in DEPARTMENTS:
        near = closest(word, list(DEPARTMENTS))
        listed = ", ".join(name.lower().replace("_", "-") for name in DEPARTMENTS)
        hint = near.lower().replace("_", "-")
        raise fail(
            f"no department {department}" + (f"; did you mean {hint}?" if near else f"; write one of: {listed}"),
            f"没有部门 {department}" + (f"，是否应为 {hint}？" if near else f"，应为以下之一：{listed}"),
            EXIT_USAGE,
        )
    name = adapter_id or word.lower().replace("_", "-")
    if not _NAME.fullmatch(name):
        raise fail("--id is made of a-z 0-9 - _", "--id 只能由 a-z 0-9 - _ 组成", EXIT_USAGE)
    text = template(word, kind, name, regions)
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(
        say(
            f"{out} is written; fill it in, then: wugan adapter check {out}",
            f"已写入 {out}；填写后请执行：wugan adapter check {out}",
        )
    )


def template(department: str, kind: str | None, name: str, regions: tuple[int, ...]) -> str:
    """A manifest for a department (a word of the contract): the ready-made one, or one of another kind to fill in."""
    ready = _ready(department)
    listed = ", ".join(str(code) for code in regions)
    if ready and kind in (None, _kind_of(ready)):
        text = re.sub(r"(?m)^adapter_id:.*$", f"adapter_id: {name}", ready, count=1)
        return re.sub(r"(?m)^regions:.*$", f"regions: [{listed}]", text, count=1)
    return _skeleton(department, kind or "table", name, listed)


def _skeleton(department: str, kind: str, name: str, regions: str) -> str:
    from adapters.manifest.usual import USUAL_KINDS
    from adapters.manifest.vocabulary import DEPARTMENTS, KINDS

    usual = sorted(word for word, number in KINDS.items() if number in USUAL_KINDS[DEPARTMENTS[department]])
    return f"""\
# 数据接入清单：由 `wugan adapter new` 生成，请逐项核对填写。A manifest to fill in, item by item.
# 全部设置项见 docs/adapters/manifest.md；每次修改请提高 version。Every setting: docs/adapters/manifest.md.
manifest: 1
adapter_id: {name}
version: "1"
department: {department}
regions: [{regions}]                     # 行政区划代码（GB/T 2260）。Codes for which it can answer.
kind: {kind}                             # table 库表 | api 接口 | file 文件
{_SOURCES[kind].replace("NAME", name)}\
# 记录中身份号码与姓名所在列。Columns of the identity number and the name.
identity: {{column: id_no, name: full_name, forms: [lower_x]}}
records:
  - name: records                        # 一个数据项一段，可写多段。One for each data item.
{_PLACES[kind]}\
    # 该部门通常有。Usual here: {", ".join(usual)}
    evidence: {usual[0]}
    observed_on: {{column: happened_on, formats: [iso, "%Y%m%d"]}}     # 发生日期。The day it happened.
    available_on: {{column: entered_on, formats: [iso, "%Y%m%d"]}}     # 入库日期。The day the department had it.
    strength: REAL_NAME                  # IN_PERSON | REAL_NAME | ACCOUNT | WEAK
    source_reference: record_no          # 部门内部编号，供异议核查；不得为身份号码。For disputes; never the number.
    freshness_days: 7                    # 约定时效（天）。Agreed days from the event until it is here.
"""


def _ready(department: str) -> str:
    """The template of a department; "" where there is none."""
    import adapters

    path = Path(adapters.__file__).parent / "departments" / f"{department.lower().replace('_', '-')}.yaml"
    return path.read_text("utf-8") if path.is_file() else ""


def _kind_of(text: str) -> str:
    found = re.search(r"(?m)^kind: (\w+)", text)
    return found.group(1) if found else ""
