"""市公墓安葬登记：用 Python SDK 编写的接入程序。A city's cemeteries as an adapter, with the SDK for Python.

python adapter.py LISTEN CERTS, e.g. python adapter.py 0.0.0.0:7443 certs. The people are made up.
"""

import csv
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from adapters import sdk

with (Path(__file__).parent / "register.csv").open(encoding="utf-8") as register:
    BURIED = {row["id_number"]: row for row in csv.DictReader(register)}


class Burials(sdk.RowAdapter):
    """Whom the cemeteries know. 公墓登记的安葬人员。"""

    adapter_id, version, department, regions = "burials", "1", "CIVIL_AFFAIRS", (330700,)
    items = (sdk.Item("BURIAL", "REAL_NAME", freshness_days=30),)

    async def rows(self, numbers: Sequence[str]) -> list[sdk.Row]:
        """What is known about these people. 所查人员的安葬记录。"""
        found = [BURIED[number] for number in numbers if number in BURIED]
        return [
            sdk.Row(
                row["id_number"],
                row["name"],
                "BURIAL",
                observed_on=date.fromisoformat(row["buried_on"]),
                available_on=date.fromisoformat(row["entered_on"]),
                reference=row["no"],
            )
            for row in found
        ]


if __name__ == "__main__":
    sdk.serve(Burials(), listen=sys.argv[1], certs=sys.argv[2])
