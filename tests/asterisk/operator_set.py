"""A small operator's data set and its dialplan, for the tests of where calls go."""

from tests.asterisk.exchange import PLATFORM
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
"""
MENU = {
    "ROUTE_CONTEXT": "flow-menu",
    "ROUTE_EXTEN": "s",
    "ROUTE_PRIORITY": "1",
    "ROUTE_KIND": "call-flow",
    "ROUTE_ID": "menu",
}
DEEP = MENU | {"ROUTE_CONTEXT": "flow-deep", "ROUTE_EXTEN": "100", "ROUTE_PRIORITY": "3", "ROUTE_ID": "deep"}
OFFER = MENU | {"ROUTE_CONTEXT": "campaign-offer", "ROUTE_KIND": "campaign", "ROUTE_ID": "offer"}
LOCKED = MENU | {"ROUTE_CONTEXT": "flow-locked", "ROUTE_ID": "locked"}
CLOSED = PLATFORM | {"ROUTE_CONTEXT": "flow-closed", "ROUTE_ID": "acme-closed"}
