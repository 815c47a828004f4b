"""Somebody at a terminal, and a gateway whose three administrators are enrolled."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.cli.access import access
from gateway.cli.access_common import in_store
from tests.configured import gateway_toml

MEMBER = "111100000000212234"


def later() -> str:
    """A day on which a grant of today may end: the commands go by the real clock, and a grant lasts three years."""
    return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=300)).isoformat()


class Office:
    """Somebody at the terminal of a province with its three administrators."""

    def __init__(self, folder: Path, sections: str = "") -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.config.write_text(gateway_toml() + sections)
        applications = []
        for name, role in (("wang", "system"), ("li", "security"), ("sun", "audit")):
            self.does("people", "key", name, "--out", str(folder))
            applications += [f"--{role}", str(folder / f"{name}.pub")]
        person = ("--as", "wang", "--key", str(folder / "wang.pem"))
        self.does("people", "found", *applications, "--config", str(self.config), *person)

    def types(self, *words: str) -> Result:
        return CliRunner().invoke(access, words)

    def shows(self, language: str, *words: str) -> str:
        """What a person reads, whatever became of it."""
        ran = CliRunner(env={"WUGAN_LANG": language}).invoke(access, [*words, "--config", str(self.config)])
        return ran.output

    def does(self, *words: str) -> str:
        ran = self.types(*words)
        assert ran.exit_code == 0, ran.output
        return ran.stdout

    def grants(self, **other: str) -> Result:
        terms = {
            **{"member": MEMBER, "purpose": "certification", "benefit": "employee_pension"},
            **{"evidence": "death_certificate", "region": "330000", "per-day": "10", "until": later()},
            **{name.replace("_", "-"): value for name, value in other.items()},
        }
        words = [word for name, value in terms.items() for word in (f"--{name}", value)]
        person = ("--as", "li", "--key", str(self.folder / "li.pem"))
        return self.types("grant", *words, "--why", "x", "--config", str(self.config), *person, "--json")

    def explains(self, member: str = MEMBER, purpose: str = "certification") -> Result:
        words = ("--member", member, "--purpose", purpose, "--benefit", "employee_pension", "--json")
        return self.types("explain", *words, "--config", str(self.config))

    def seen_to(self, member: str) -> None:
        """A running gateway took up the wish to compare with a member."""
        in_store(self.config, lambda store, _: store.matchings.see_to(member))
