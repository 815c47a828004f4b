"""`wugan roster`: a whole roster in one go.

Owns: the group. Refuses: what its commands do.
"""

from __future__ import annotations

import click

from gateway.cli.language import say
from gateway.cli.roster_decide import decide, decisions


@click.group(
    help=say(
        "Whole rosters: a file of recipients in, who is certified, whom to see and what to decide out.",
        "名册批量核验：提交待遇领取人名册，得到认证结果、核查清单与待决事项。",
    )
)
def roster() -> None:
    """The group."""


roster.add_command(decide)
roster.add_command(decisions)
