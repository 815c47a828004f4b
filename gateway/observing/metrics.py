"""Every figure that a gateway shows, one line each; docs/operations/observability.md explains them, a test compares.

Owns: names and meanings. Labels: `partner` is a member id of the directory, `department` an adapter id of the settings,
`outcome` a reason of the contract or a word of the code; none comes from a question. Refuses: counting (whoever knows
does, by `add`, `observe` or `set`) and reading objects (`gateway.vitals` does, by `follow`).

BREAKER says how a breaker's state is shown as a number.
"""

from __future__ import annotations

from typing import Final

from gateway.observing.instruments import Counter, Gauge, Histogram

BREAKER: Final = {"closed": 0, "half-open": 1, "open": 2}

# calls that arrive
CALLS = Counter("wugan_calls_total", "Calls that ended, by what came of them", "call", "outcome")
CALL_SECONDS = Histogram("wugan_call_seconds", "Time of a call", "call")
CONNECTIONS = Counter("wugan_connections_total", "Connections to the gateway's ports, also those that let nobody in")
CALLS_IN_FLIGHT = Gauge("wugan_calls_in_flight", "Calls being worked on")
QUESTIONS = Counter(
    "wugan_questions_total", "Questions of a partner dealt with, by what came of them", "partner", "outcome"
)

# partners, asked
PARTNER_CALLS = Counter(
    "wugan_partner_calls_total", "Envelopes sent to a partner, by what came of them", "partner", "outcome"
)
PARTNER_SECONDS = Histogram(
    "wugan_partner_seconds", "Time from a partner's question, unsealed, to its verified answer", "partner"
)
PARTNER_QUESTIONS = Counter("wugan_partner_questions_total", "Questions in the envelopes sent to a partner", "partner")
PARTNER_RETRIES = Counter("wugan_partner_retries_total", "Further tries of a call to a partner", "partner")
PARTNER_HEDGES = Counter(
    "wugan_partner_hedges_total", "Second calls to another gateway of a partner", "partner", "outcome"
)
PARTNER_BREAKER = Gauge("wugan_partner_breaker", "Breaker of a partner: 0 closed, 1 half-open, 2 open", "partner")
PARTNER_IN_USE = Gauge("wugan_partner_in_use", "Calls to a partner under way", "partner")
PARTNER_QUEUED = Gauge("wugan_partner_queued", "Calls to a partner that wait for their turn", "partner")
PARTNER_SHED = Counter("wugan_partner_shed_total", "Calls to a partner refused here, unsent", "partner", "outcome")
PARTNER_FAILING = Gauge(
    "wugan_partner_failing_seconds", "Time since which a partner has not answered well, 0: it does", "partner"
)
PARTNER_CLOCK = Gauge("wugan_partner_clock_offset_seconds", "Own clock less a partner's, least seen lately", "partner")

# departments, asked
DEPARTMENT_CALLS = Counter(
    "wugan_department_calls_total", "Lookups in a department, by what came of them", "department", "outcome"
)
DEPARTMENT_SECONDS = Histogram("wugan_department_seconds", "Time of a lookup in a department", "department")
DEPARTMENT_RETRIES = Counter(
    "wugan_department_retries_total", "Further tries of what a department was asked", "department"
)
DEPARTMENT_BREAKER = Gauge(
    "wugan_department_breaker", "Breaker of a department: 0 closed, 1 half-open, 2 open", "department"
)
DEPARTMENT_IN_USE = Gauge("wugan_department_in_use", "Lookups in a department under way", "department")
DEPARTMENT_QUEUED = Gauge("wugan_department_queued", "Lookups in a department that wait for their turn", "department")
DEPARTMENT_SHED = Counter(
    "wugan_department_shed_total", "Lookups in a department refused here, unasked", "department", "outcome"
)
DEPARTMENT_FAILING = Gauge(
    "wugan_department_failing_seconds", "Time since which a department has not answered well, 0: it does", "department"
)

# cache of answers
CACHE = Counter(
    "wugan_cache_total", "Questions to a partner that could have been answered from the cache", "partner", "outcome"
)
CACHE_ENTRIES = Gauge("wugan_cache_entries", "Answers in the cache")
CACHE_BYTES = Gauge("wugan_cache_bytes", "Memory of the cache's front, bytes")

# outbox, inbox, notices
OUTBOX = Gauge("wugan_outbox_letters", "Letters in the outbox", "partner", "state")
OUTBOX_OLDEST = Gauge("wugan_outbox_oldest_seconds", "Age of the oldest letter waiting in the outbox", "partner")
OUTBOX_FAILING = Gauge(
    "wugan_outbox_failing_seconds", "How long nothing could be delivered to a partner for whom letters wait", "partner"
)
OUTBOX_SENT = Counter(
    "wugan_outbox_deliveries_total", "Letters handed to a partner, by its receipt", "partner", "outcome"
)
INBOX = Gauge("wugan_inbox_letters", "Letters in the inbox", "state")
INBOX_DONE = Counter(
    "wugan_inbox_handled_total", "Letters of the inbox handled, by what came of them", "kind", "outcome"
)
NOTICES_SENT = Counter("wugan_notices_sent_total", "Notices put into the outbox")
NOTICES_RECEIVED = Counter("wugan_notices_received_total", "Notices taken from a partner", "partner")
CHANGES = Counter("wugan_changes_total", "Changed records that a department told of", "department")
CHANGES_OVERDUE = Gauge("wugan_changes_overdue", "Changed people of whom nothing could be told for overdue_days")

# store
STORE_WAITING = Gauge("wugan_store_waiting", "Writes submitted that are not on the disk yet")
STORE_WRITES = Counter("wugan_store_writes_total", "Writes on the disk")
STORE_COMMITS = Histogram("wugan_store_commit_seconds", "Time of a transaction with its commit")
STORE_FAILURES = Counter("wugan_store_failures_total", "Transactions that failed")
STORE_BYTES = Gauge("wugan_store_bytes", "Size of the database on the disk, write-ahead log included, bytes")
DISK_FREE = Gauge("wugan_disk_free_bytes", "Free space where the state is kept, bytes")

# trust
DIRECTORY_VERSION = Gauge("wugan_directory_version", "Version of the directory in force")
DIRECTORY_AGE = Gauge("wugan_directory_age_seconds", "Time since the directory in force was signed")
DIRECTORY_LEFT = Gauge("wugan_directory_left_seconds", "Time until the directory in force expires; negative: it has")
DIRECTORY_MEMBERS = Gauge("wugan_directory_members", "Members in the directory in force")
KEY_LEFT = Gauge("wugan_key_left_days", "Days until an own key or its certificate expires", "kind")
ALARMS = Gauge("wugan_alarms_standing", "Harvesting alarms that nobody has cleared")

# this process
HEALTH = Gauge("wugan_health", "What the health page says: 0 well, 1 needs attention, 2 failing")
SPANS_LOST = Counter("wugan_spans_lost_total", "Spans that could not be written or sent")
