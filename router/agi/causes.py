"""Why a connection got no ordinary answer: the causes of `agi_rejected_total` and of the log's `agi_rejected`."""

from router.agi.messages import Refused

PEER = "peer"  # not in [agi] allow
CAPACITY = "capacity"
DEADLINE = "deadline"
SCRIPT = "unknown-script"
FORGED = "forged"
HANGUP = "hangup"
INTERNAL = "internal"
CAUSES = (*Refused, PEER, CAPACITY, DEADLINE, SCRIPT, FORGED, HANGUP, INTERNAL)

# Everyday causes: a peer goes before it has asked, a caller hangs up while we decide.
EVERYDAY = (Refused.EOF, HANGUP)
