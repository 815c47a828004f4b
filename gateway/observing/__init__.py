"""How a gateway is seen from outside: figures, health in words, traces. Generic: knows no partner, rule or table.

    metrics      every figure there is, one line each: `metrics.PARTNER_RETRIES.add(member_id)`
    calls        times a call to a partner or department and counts what came of it
    health       what is well and what is not, in words, from whoever registers as a source
    tracing      spans of one question, across gateways; costs nothing while it is off

Like the log, these are ambient: a process is one gateway, and who counts something is not handed a counter for it. What
they show is bounded, and holds no identity number, name or key, whatever is put in.
"""
