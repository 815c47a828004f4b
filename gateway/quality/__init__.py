"""The quality of departments' data, by department, item, region and month.

    counters.py       what is counted, as one row of whole numbers that can be added up
    measuring.py      many answers at once → counters and masked examples (columns, numpy)
    contradictions.py died here and travelling there; two days of death
    recorder.py       a bounded sample of the gateway's own traffic, flushed aside into the store
    sampling.py       numbers from a department's own source, looked up as the gateway would
    judging.py        counters → shares and percentiles; thresholds (quality.yaml) → findings
    report.py         what a department is told of one month
    report_page.py    the same as a page

Nothing kept here tells of a person: counters, and examples with number and reference masked.
"""

from pathlib import Path
from typing import Final

QUALITY_FILE: Final = Path(__file__).with_name("quality.yaml")
"""The built-in thresholds."""
