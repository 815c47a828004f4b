"""The data catalogue (数据需求清单): what benefits need of which department, who offers it, and what nobody offers.

    needs.py     from the rules: benefit × department × item, how much it matters, over which period
    basis.py     catalogue.yaml: the law behind each item, and the freshness it is asked with
    offers.py    from manifests and the directory: who offers which item where, how it comes and how fresh
    gaps.py      needs that no offer meets, per region
    tables.py    both as tables in Chinese or English
    writing.py   the tables as XLSX, Markdown, CSV and JSON

Nothing here looks at a person.
"""

from pathlib import Path
from typing import Final

CATALOGUE_FILE: Final = Path(__file__).with_name("catalogue.yaml")
"""The built-in file of legal bases and wanted freshness."""
