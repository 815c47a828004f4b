"""The rules of the field as pure functions over columns: no I/O, no network, no clock.

    identity.py       identity numbers of every register; days of birth
    names.py          comparing names
    book.py           the rule file, read and frozen: every parameter, with version and digest
    grading.py        evidence -> status, flags, reasons (traces.py, deaths.py, absence.py, penal.py, changes.py)
    reasons.py        the codes of reasons and their texts
    merge.py          several members' findings -> one
    certification.py  findings -> what is proposed, and the first month without entitlement
    deciding.py       acts of officials, visitors and face checks -> how somebody stands
    overpayment.py    months paid too much, or withheld, in fen
    purposes.py       what each purpose may be told, as tables
    disclosure.py     what an answer may carry for a purpose

Days are civil days in Asia/Shanghai counted from 1970-01-01, 0 meaning "not given", as on the wire.
"""

from pathlib import Path
from typing import Final

RULES_FILE: Final = Path(__file__).with_name("rules.yaml")
"""The built-in rule file. Reading it is the caller's: `RuleBook.parse(RULES_FILE.read_bytes(), str(RULES_FILE))`."""
