"""A small operator's data set and its dialplan, for the tests of where calls go."""

from tests.asterisk.exchange import destination
from tests.asterisk.pbx_conf import Flow

DATA = """
[[companies]]
id = "acme"
name = "Acme"
region = "GB"
default_flow = "acme-closed"

[[companies]]
id = "globex"
name = "Globex"
region = "RU"

[[call_flows]]
id = "menu"
company = "acme"
name = "Menu"
destination = { context = "flow-menu" }
parameters = [{ name = "GREETING", type = "text" }]

[[call_flows]]
id = "deep"
name = "Not at s, and not at its first step"
destination = { context = "flow-deep", exten = "100", priority = 3 }

[[call_flows]]
id = "acme-closed"
company = "acme"
name = "Closed"
destination = { context = "flow-closed" }
parameters = [{ name = "MESSAGE", type = "text", default = "back soon" }]

[[call_flows]]
id = "lost"
name = "A flow that the dialplan does not have"
destination = { context = "flow-nowhere" }

[[call_flows]]
id = "again"
name = "Answers, then sends the call to another number"
destination = { context = "flow-again" }
parameters = [{ name = "NEXT", type = "text" }]

[[call_flows]]
id = "locked"
name = "Locked"
locked = true
destination = { context = "flow-locked" }
parameters = [{ name = "GREETING", type = "text" }]

[[call_flows]]
id = "timed"
name = "Sets limits of its own, then sends the call to another number"
destination = { context = "flow-timed" }
parameters = [{ name = "NEXT", type = "text" }]

[[call_flows]]
id = "circle"
name = "Sends the call back to where it came from"
destination = { context = "ringway-inbound" }

[[campaigns]]
id = "offer"
company = "acme"
name = "Offer"
direction = "inbound"
destination = { context = "campaign-offer" }

[[campaigns]]
id = "ended"
company = "acme"
name = "Ended"
direction = "inbound"
active = false
destination = { context = "campaign-offer" }

[[numbers]]
number = "02079460000"
company = "acme"
call_flow = "menu"
parameters = { GREETING = "Hello" }

[[numbers]]
number = "+74951234567"
company = "globex"
call_flow = "deep"

[[numbers]]
number = "+12025550143"
company = "globex"
call_flow = "deep"

[[numbers]]
number = "+390612345678"
company = "globex"
call_flow = "deep"

[[numbers]]
number = "02079460010"
company = "acme"
status = "disabled"
call_flow = "menu"

[[numbers]]
number = "+442079460011"
company = "globex"
status = "disabled"
call_flow = "deep"

[[numbers]]
number = "02079460012"
company = "acme"

[[numbers]]
number = "+442079460013"
company = "globex"

[[numbers]]
number = "+442079460014"
kind = "pool"

[[numbers]]
number = "02079460015"
company = "acme"
inbound_campaign = "offer"

[[numbers]]
number = "02079460016"
company = "acme"
inbound_campaign = "ended"

[[numbers]]
number = "02079460017"
company = "acme"
call_flow = "lost"

[[numbers]]
number = "02079460018"
company = "acme"
call_flow = "again"
parameters = { NEXT = "02079469999" }

[[numbers]]
number = "02079460019"
company = "acme"
call_flow = "again"
parameters = { NEXT = "02079460015" }

[[numbers]]
number = "02079460020"
company = "acme"
call_flow = "timed"
parameters = { NEXT = "02079460015" }

[[numbers]]
number = "02079460021"
company = "acme"
call_flow = "circle"
"""
LOCKED_NUMBER = """
[[numbers]]
number = "02079460030"
company = "acme"
call_flow = "{flow}"
parameters = {{ GREETING = "{greeting}" }}
"""
FLOWS = (
    Flow("flow-menu", params=("GREETING",)),
    Flow("flow-deep", extens=("100",)),
    Flow("flow-closed", params=("MESSAGE",)),
    Flow("flow-locked", params=("GREETING",)),
    Flow("campaign-offer", params=("NEXT",)),
    Flow("flow-hold", hold_s=60),
)
# A second kind of trunk, known by a header of its calls, whose numbers are read as its country writes them.
ABROAD_PJSIP = """
[global]
type = global
endpoint_identifier_order = header,ip

[abroad](ringway-trunk)
context = from-abroad
identify_by = header
transport = transport-udp

[abroad-identify]
type = identify
endpoint = abroad
match_header = X-Region: /.+/
"""
EXTRA = """
[from-abroad]
exten => _..,1,AGI(agi://${RINGWAY_AGI}/route,${EXTEN},${CALLERID(num)},${PJSIP_HEADER(read,X-Region)})
 same => n,Goto(${ROUTE_CONTEXT},${ROUTE_EXTEN},${ROUTE_PRIORITY})

[flow-again]
exten => s,1,Answer()
 same => n,Goto(ringway-inbound,${PARAM_NEXT},1)

[flow-timed]
exten => s,1,Set(TIMEOUT(absolute)=3600)
 same => n,Set(AGIEXITONHANGUP=no)
 same => n,Goto(ringway-inbound,${PARAM_NEXT},1)
"""
MENU = destination("flow-menu", "menu")
DEEP = destination("flow-deep", "deep", exten="100", priority=3)
OFFER = destination("campaign-offer", "offer", "campaign")
LOCKED = destination("flow-locked", "locked")
CLOSED = destination("flow-closed", "acme-closed", "default")
