"""The `wugan` command."""


def main() -> None:
    """Placeholder until the command groups are there."""
    raise SystemExit(2)
