"""The configuration of a test's Asterisk: small, on loopback, and using `deploy/asterisk` as a site would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROUTE_NAMES = (
    "ROUTE_STATUS",
    "ROUTE_REASON",
    "ROUTE_CONTEXT",
    "ROUTE_EXTEN",
    "ROUTE_PRIORITY",
    "ROUTE_KIND",
    "ROUTE_ID",
    "ROUTE_COMPANY",
    "ROUTE_NUMBER",
    "ROUTE_CALLER",
    "ROUTE_VERSION",
    "ROUTE_PARAMS",
    "ROUTE_AGE",
    "ROUTE_CACHE",
    "ROUTE_VALID_UNTIL",
)
# Between a name and its value, and after each pair, in a call's record: bytes that no value holds.
FIELD, ITEM = "\x1f", "\x1e"

_MODULES = """
    res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_timing_timerfd res_rtp_asterisk
    res_pjsip res_pjsip_pubsub res_pjsip_session res_pjsip_sdp_rtp res_pjsip_endpoint_identifier_ip res_pjsip_caller_id
    res_pjsip_endpoint_identifier_user res_pjsip_messaging
    res_pjsip_nat res_pjsip_rfc3326 res_pjsip_diversion res_pjsip_dtmf_info res_pjsip_authenticator_digest
    res_pjsip_outbound_authenticator_digest res_pjsip_outbound_registration chan_pjsip
    res_speech res_agi res_musiconhold pbx_config
    app_channelredirect app_dial app_db app_exec app_originate app_playback app_playtones app_queue app_read app_stack
    app_userevent app_verbose app_while
    func_base64 func_callerid func_cdr func_channel func_cut func_db func_dialplan func_env func_global
    func_groupcount func_hangupcause func_lock func_logic func_math func_md5 func_pjsip_endpoint func_sha1 func_sprintf
    func_strings func_timeout func_uri res_pjsip_header_funcs
    bridge_builtin_features bridge_holding bridge_native_rtp bridge_simple bridge_softmix
    codec_alaw codec_gsm codec_ulaw codec_resample format_gsm format_pcm format_wav
"""
_INDICATIONS = """[general]
country = uk
[uk]
description = United Kingdom
ringcadence = 400,200,400,2000
dial = 350+440
busy = 400/375,0/375
ring = 400+450/400,0/200,400+450/400,0/2000
congestion = 400/400,0/350,400/225,0/525
callwaiting = 400/100,0/4000
dialrecall = 350+440
record = 1400/500,0/60000
info = 950/330,0/15,1400/330,0/15,1800/330,0/1000
stutter = 350+440
"""


@dataclass(frozen=True, slots=True)
class Flow:
    """A destination context that writes down each call that reaches it, and what it was given.

    `params` are the names, without `PARAM_`, whose values are recorded. A call is then answered (unless told not
    to), held for `hold_s` seconds and hung up. A value is cut at 4,095 bytes, as in any dialplan.
    """

    context: str
    extens: tuple[str, ...] = ("s",)
    params: tuple[str, ...] = ()
    answer: bool = True
    hold_s: float = 0


@dataclass(frozen=True, slots=True)
class Ports:
    """Free ports of loopback; `trunk` is where calls to the trunk go out to (nobody listens there by itself)."""

    sip: int
    ami: int
    trunk: int


def modules_conf() -> str:
    """Return the few modules that are loaded."""
    return "\n".join(["[modules]", "autoload=no", *(f"load={name}" for name in _MODULES.split())]) + "\n"


def asterisk_conf(folder: Path, name: str) -> str:
    """Return asterisk.conf with every folder that is written to inside `folder`; `name` goes before its unique ids."""
    places = {"astetcdir": "etc", "astvarlibdir": "lib", "astdbdir": "lib", "astkeydir": "lib", "astcachedir": "cache"}
    places |= {"astspooldir": "spool", "astrundir": "run", "astlogdir": "log"}
    lines = ["[directories]", *(f"{key} => {folder / place}" for key, place in places.items())]
    options = ["documentation_language = en_US", "maxfiles = 8192", *([f"systemname = {name}"] if name else [])]
    return "\n".join([*lines, "[options]", *options, ""])


def small_files(folder: Path, *, examples: bool) -> dict[str, str]:
    """Return the files that Asterisk would miss aloud: name -> text."""
    general = ("ccss", "cdr", "cel", "features", "pjproject", "queuerules", "udptl")
    return {f"{name}.conf": "[general]\n" for name in general} | {
        "acl.conf": "",
        "indications.conf": _INDICATIONS,
        "logger.conf": "[general]\ndateformat = %F %T.%3q\n[logfiles]\nmessages => notice,warning,error\n",
        "musiconhold.conf": f"[default]\nmode=files\ndirectory={folder}/moh\n",
        "queues.conf": "[general]\n" + ('#include "ringway/examples/queues.conf"\n' if examples else ""),
        # Away from the ports that the tests draw.
        "rtp.conf": "[general]\nrtpstart=12000\nrtpend=19998\nicesupport=no\n",
    }


CHANNELVARS = "channelvars = CAMPAIGN_ID,RINGWAY_ATTEMPT"


def manager_conf(ports: Ports, secret: str) -> str:
    """Return manager.conf with the harness's own account before the shipped one."""
    return f"""[general]
enabled = yes
webenabled = no
bindaddr = 127.0.0.1
port = {ports.ami}
displayconnects = no
{CHANNELVARS}

[harness]
secret = {secret}
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
read = all
write = all
writetimeout = 30000

#include "ringway/manager_ringway.conf"
"""


def pjsip_conf(ports: Ports) -> str:
    """Return pjsip.conf: one UDP transport, and the trunk made of the shipped templates, known by 127.0.0.1.

    A test that needs more than this trunk gives its Asterisk a file `pjsip_more.conf`.
    """
    return f"""[transport-udp]
type = transport
protocol = udp
bind = 127.0.0.1:{ports.sip}

#include "ringway/pjsip_ringway.conf"

[trunk](ringway-trunk)
aors = trunk
transport = transport-udp

[trunk](ringway-trunk-aor)
contact = sip:127.0.0.1:{ports.trunk}
qualify_frequency = 0

[trunk](ringway-trunk-identify)
endpoint = trunk
match = 127.0.0.1

#tryinclude "pjsip_more.conf"
"""


def extensions_conf(
    folder: Path,
    flows: Sequence[Flow],
    variables: Mapping[str, str],
    extra: str,
    examples: bool,
) -> str:
    """Return extensions.conf: the site's globals, the shipped contexts, the recording flows, a test's own text."""
    lines = ["[general]", "static = yes", "writeprotect = yes", "", "[globals]"]
    lines += [f"{name} = {value}" for name, value in variables.items()]
    lines += ["", '#include "ringway/extensions_ringway.conf"']
    if examples:
        lines.append('#include "ringway/examples/*_flow.conf"')
    for flow in flows:
        lines += ["", *_recording(flow, folder)]
    return "\n".join([*lines, "", extra, ""])


def _recording(flow: Flow, folder: Path) -> list[str]:
    record = f"FILE({folder}/calls/${{UNIQUEID}},,,a)"
    facts = {
        "context": "${CONTEXT}",
        "exten": "${EXTEN}",
        "started": "${CDR(start,u)}",
        "arrived": "${ARRIVED}",
        "dialled": "${CALLERID(dnid)}",
        "caller": "${CALLERID(num)}",
        "limit": "${TIMEOUT(absolute)}",
        "agi_exits": "${AGIEXITONHANGUP}",
    } | {name: f"${{{name}}}" for name in ROUTE_NAMES}
    lines = [f"[{flow.context}]"]
    for exten in flow.extens:
        steps = [
            "Set(ARRIVED=1 ${STRFTIME(,UTC,%FT%T.%3q)})",
            "Goto(4)",
            "Set(ARRIVED=3 ${STRFTIME(,UTC,%FT%T.%3q)})",  # where a route with priority 3 enters
            f"Set({record}={''.join(f'{name}{FIELD}{value}{ITEM}' for name, value in facts.items())})",
        ]
        steps += [f"Set({record}=PARAM_{name}{FIELD}${{PARAM_{name}}}{ITEM})" for name in flow.params]
        steps.append(f"Set({record}=end{FIELD}{ITEM})")
        steps += ["Answer(,i)"] if flow.answer else []
        steps += [f"Wait({flow.hold_s})"] if flow.hold_s else []
        steps.append("Hangup()")
        lines.append(f"exten => {exten},1,{steps[0]}")
        lines += [f" same => n,{step}" for step in steps[1:]]
    return lines
