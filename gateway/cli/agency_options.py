"""Options that commands of an agency have in common.

Owns: their names and texts. Refuses: what they are for.
"""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.language import say

CONFIG = click.option(
    "--config",
    "config_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=say("agency.toml: gateway, certificate, official", "agency.toml：网关地址、证书、经办人"),
)
BASIS = click.option(
    "--basis", default="", help=say("law relied on (default: from the configuration)", "法律依据（默认取配置）")
)
CASE = click.option(
    "--case",
    "case_reference",
    default="",
    help=say("your file reference (default: a random one)", "业务编号（默认随机）"),
)
OFFICIAL = click.option(
    "--official", default="", help=say("who asks (default: from the configuration)", "经办人（默认取配置）")
)
AS_OF = click.option(
    "--as-of", default="", help=say("YYYY-MM-DD, as it was known then", "YYYY-MM-DD，按当日已知信息答复")
)
