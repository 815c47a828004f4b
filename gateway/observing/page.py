"""The health page: what is wrong, in words, and what to do about it. Chinese, or English where that is asked for.

Owns: the HTML and its style. Every text is escaped; there is no script, and nothing is loaded from elsewhere. Refuses:
knowing what the facts are about.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from html import escape
from typing import Final

from gateway.clock import SHANGHAI_OFFSET_S
from gateway.observing.health import HealthFact, Level, Report

REFRESH_S: Final = 15
_SHANGHAI: Final = dt.timezone(dt.timedelta(seconds=SHANGHAI_OFFSET_S))
_HEADLINES: Final = {
    Level.WELL: ("Everything is in order", "一切正常"),
    Level.ATTENTION: ("Something needs attention", "有事项需要关注"),
    Level.FAILING: ("Something has failed", "有故障，需立即处理"),
}
_LEVELS: Final = {
    Level.WELL: ("in order", "正常"),
    Level.ATTENTION: ("attention", "关注"),
    Level.FAILING: ("failing", "故障"),
}
_STYLE: Final = """
:root{--ink:#1d2733;--soft:#5d6b7a;--line:#dfe5ec;--paper:#f4f6f9;--card:#fff;--well:#1c7c54;--attention:#b25e09;--failing:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf1;--soft:#9aa7b5;--line:#2c3743;--paper:#12181f;--card:#1a222b;
--well:#5cc492;--attention:#eda75a;--failing:#f2837b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.6 system-ui,-apple-system,"Noto Sans CJK SC","Noto Sans SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:54rem;margin:0 auto;padding:2rem 1.25rem 3rem}
header{display:flex;flex-wrap:wrap;
gap:.25rem 1rem;align-items:baseline;justify-content:space-between;margin-bottom:1.25rem}
h1{font-size:1rem;font-weight:600;margin:0}
.soft{color:var(--soft);font-size:.875rem}
.soft a{color:inherit}
.sum{display:flex;align-items:center;gap:1rem;padding:1.25rem 1.5rem;border-radius:.75rem;background:var(--card);
border:1px solid var(--line);border-left:.5rem solid var(--tone);margin-bottom:1.25rem}
.sum strong{font-size:1.5rem;line-height:1.3;color:var(--tone)}
ul{list-style:none;margin:0;padding:0}
li{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.25rem;margin-bottom:.625rem;
display:grid;grid-template-columns:5rem 1fr;gap:.125rem 1rem}
.badge{justify-self:start;align-self:start;border:1px solid var(--tone);color:var(--tone);border-radius:1rem;
padding:0 .625rem;font-size:.8125rem;white-space:nowrap;margin-top:.125rem}
.what{font-weight:500}
.do{grid-column:2}
.do b{font-weight:500;color:var(--soft)}
.since{grid-column:2}
code{font-size:.875em;overflow-wrap:anywhere}
.well{--tone:var(--well)}.attention{--tone:var(--attention)}.failing{--tone:var(--failing)}
li.well .what{font-weight:400}
@media(max-width:34rem){li{grid-template-columns:1fr}.do,.since{grid-column:1}}
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: its own style and nothing else."""


def page(report: Report, *, chinese: bool) -> str:
    """The page."""

    def say(en: str, zh: str) -> str:
        return escape(zh if chinese else en)

    def item(fact: HealthFact) -> str:
        parts = [
            f'<li class="{_tone(fact.level)}"><span class="badge">{say(*_LEVELS[fact.level])}</span>',
            f'<span class="what">{say(fact.en, fact.zh)}</span>',
        ]
        if fact.do_en:
            parts.append(f'<span class="do"><b>{say("To do:", "处理：")}</b> {say(fact.do_en, fact.do_zh)}</span>')
        if fact.since_ms:
            parts.append(f'<span class="since soft">{say("Since", "始于")} {_moment(fact.since_ms)}</span>')
        return "".join([*parts, "</li>"])

    other = '<a href="?lang=en">English</a>' if chinese else '<a href="?lang=zh">中文</a>'
    wrong = sum(fact.level > Level.WELL for fact in report.facts)
    count = say(f"{wrong} to look at", f"{wrong} 项待处理") if wrong else ""
    return (
        f'<!doctype html><html lang="{"zh-CN" if chinese else "en"}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><meta http-equiv="refresh" '
        f'content="{REFRESH_S}"><title>{say(*_HEADLINES[report.level])} · {say("Wugan gateway", "无感网关")}</title>'
        f"<style>{_STYLE}</style></head><body><main><header><h1>{say('Wugan gateway', '无感网关')} "
        f"{say(*report.names)} <code>{escape(report.member_id)}</code></h1>"
        f'<span class="soft">{_moment(report.at_ms)} · {other}</span></header>'
        f'<div class="sum {_tone(report.level)}"><strong>{say(*_HEADLINES[report.level])}</strong>'
        f'<span class="soft">{count}</span></div>'
        f"<ul>{''.join(map(item, report.facts))}</ul></main></body></html>"
    )


def _tone(level: Level) -> str:
    return level.name.lower()


def _moment(ms: int) -> str:
    """A time as people in Shanghai read it."""
    return dt.datetime.fromtimestamp(ms / 1000, _SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")
