"""What gRPC's C core writes by itself: nothing.

The core has a log of its own: plain text to standard error, in the midst of a program's log. About handshakes it writes
a line or two each, also of those that end in nothing, and into one of them, as it came, the server name that the other
side asked for. So anybody who reaches a port could fill the log of a gateway, and write lines of his own into it: a
server name may hold line ends.

Owns: setting the environment variable that says how much the core writes, when this module is first imported, as
`certs.tls13` does with another. Refuses: overruling somebody who has set it to look for a fault. What is worth knowing
of all this is counted (`server_certificate`) or comes with the status of a call.
"""

from __future__ import annotations

import os
from typing import Final

VARIABLE: Final = "GRPC_VERBOSITY"

os.environ.setdefault(VARIABLE, "NONE")
