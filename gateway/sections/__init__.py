"""The sections of gateway.toml, agency.toml and adapter.toml: every setting with its unit, bounds and default.

Owns: what a setting may be. Refuses: reading files, and which sections a file has (`gateway.config`).

    values       words, addresses, links, and the base of all sections
    process      the program itself: where it listens, what it tells of itself
    trust        certificates, keys, messages, directory, authority
    resilience   peers that fail
    outward      asking other members
    inward       answering them
    lasting      what outlives a call: the store, deliveries, notices, rosters, comparisons
"""
