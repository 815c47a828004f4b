"""The envelope: suites, keys, sealing and opening, replay guard. Pure but for the stores it is handed.

`envelope` seals and opens, `keys` holds what it needs for that, `replay` keeps an envelope from being accepted twice,
`suites` names the algorithms. docs/protocol.md describes the format byte for byte; tests/vectors/ proves it.
"""
