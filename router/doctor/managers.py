"""What was seen of each Asterisk -> what is found of it, and what to change there."""

from collections.abc import Sequence

from dialplan.wording import printable, quote
from router.config.settings import Agi, Ami
from router.doctor import agi as fastagi
from router.doctor.asterisk import VARIABLES, Seen
from router.doctor.dialplan_version import loaded
from router.doctor.findings import Finding, State, fine, unseen, wrong
from router.doctor.router_page import Hearing

_RELOAD = 'asterisk -rx "manager reload"'
_LOGIN, _RIGHTS, _VARIABLES = "manager login", "manager rights", "channel variables"
_EVENTS, _DIALS = "hangup events", "dial events"
_NAME, _DIALPLAN, _ASKED = "system name", "dialplan", "routers asked"
_NOT_IN = "nobody is logged in"
_REPORTING = f"[ringway] in manager.conf needs write = reporting, as manager_ringway.conf has it; {_RELOAD}"
_CHANNELVARS = f"[general] in manager.conf needs channelvars = {','.join(VARIABLES)}; then {_RELOAD}"
_FROM_LOGIN = "what an account may see holds from its login on"
_READ = (
    "[ringway] in manager.conf needs read = call,system and the four eventfilter lines of manager_ringway.conf, and no "
    f"others; then {_RELOAD}, and restart the router: {_FROM_LOGIN}"
)
_NO_AMI = "add one as config/ringway.toml shows, and the account of deploy/asterisk/README.md"
_SYSTEM_NAME = "set systemname in [options] of its asterisk.conf, another one on each Asterisk, and restart it"


def found_of(seen: Sequence[Seen], asterisks: Sequence[Ami], agi: Agi, hearing: Hearing) -> list[Finding]:
    """Each part of each Asterisk; `hearing`: what a running router's links hear."""
    if not seen:
        return [unseen("manager", "no [[ami]]: nothing can be asked of Asterisk", _NO_AMI)]
    found: list[Finding] = []
    for each, ami in zip(seen, asterisks, strict=True):
        found.append(_login(each, ami))
        found.append(_rights(each))
        found += [_variables(each, hearing), _events(each, hearing), _heard(_DIALS, "dials", each, hearing, _READ)]
        if len(seen) > 1:
            found.append(_system_name(each, seen))
        found += _dialplan(each, agi, hearing)
    return found


def callers(seen: Sequence[Seen], agi: Agi) -> list[fastagi.Caller]:
    """From where each Asterisk asks: its own address, and on this machine that by which it reaches the router."""
    found = []
    for each in seen:
        ways = [way for way in each.ways if fastagi.leads_here(agi, way, here=each.here)]
        near = tuple(address for way in ways for address in way.addresses)
        found.append(fastagi.Caller(each.name, each.host, near if each.here and near else each.addresses))
    return found


def _login(seen: Seen, ami: Ami) -> Finding:
    where = f"{printable(seen.host)}:{seen.port}"
    error = printable(seen.error)
    match seen.stage:
        case "files":
            return wrong(_LOGIN, error, _files_mend(error, seen.name), seen.name)
        case "connect":
            return wrong(_LOGIN, f"{where}: {error}", _connect_mend(error, ami), seen.name)
        case "login":
            return wrong(_LOGIN, f"{where}: {error}", _login_mend(error, ami), seen.name)
    return fine(_LOGIN, f"{where} as {printable(ami.username)}{' by TLS' if ami.tls else ''}", seen.name)


def _files_mend(error: str, name: str) -> str:
    ami = f"[[ami]] {quote(name)}"
    if error.startswith("secret_file"):
        return f"write the secret of manager.conf alone into that file, or name another: secret_file of {ami}"
    return f"see tls_ca_file of {ami}"


def _connect_mend(error: str, ami: Ami) -> str:
    kinds = (
        (
            "refused" in error or "Connect call failed" in error,
            "see that Asterisk runs, and in [general] of manager.conf enabled = yes, port and bindaddr",
        ),
        ("certificate" in error, "see tls_ca_file, and that host is the name its certificate is for"),
        (ami.tls and "SSL" in error.upper(), "that port speaks no TLS: name that of tlsbindaddr, or leave tls out"),
        ("not known" in error or "name" in error.lower(), "correct host in [[ami]], or who resolves names here"),
        (ami.tls, "see host and port in [[ami]] and the firewall; does that port speak TLS (tlsbindaddr)?"),
    )
    usual = "see host and port in [[ami]] and the firewall; where that port speaks TLS, set tls = true"
    return next((mend for applies, mend in kinds if applies), usual)


def _login_mend(error: str, ami: Ami) -> str:
    if "Authentication failed" in error:
        user = printable(ami.username)
        return (
            f"Asterisk tells its own log alone why. There `failed to authenticate` means another secret of [{user}] in "
            "manager.conf (the shipped one has it from ringway_ami_secret.conf) than in secret_file; `failed to pass "
            f"IP ACL`: a line permit for this machine's address is missing there; `nonexistent user`: no [{user}], so "
            f"#include ringway/manager_ringway.conf. Then {_RELOAD}"
        )
    if "Challenge" in error:
        return "Asterisk gives no challenge: authtype in [general] of manager.conf, and allowmultiplelogin"
    return "see that this port is that of Asterisk's manager, and its log"


def _rights(seen: Seen) -> Finding:
    if seen.stage != "in":
        return unseen(_RIGHTS, _NOT_IN, of=seen.name)
    refused = seen.astdb or seen.dialplan
    if refused:
        return wrong(_RIGHTS, printable(refused), _REPORTING, seen.name)
    if seen.astdb is None or seen.dialplan is None:
        return unseen(_RIGHTS, printable(seen.broken_off), of=seen.name)
    return fine(_RIGHTS, "it may read AstDB and the globals of the dialplan", seen.name)


def _variables(seen: Seen, hearing: Hearing) -> Finding:
    if seen.lacking:
        return wrong(
            _VARIABLES, f"a channel that is up has no {' and no '.join(seen.lacking)}", _CHANNELVARS, seen.name
        )
    if seen.lacking is not None:
        return fine(_VARIABLES, f"a channel that is up has {' and '.join(VARIABLES)}", seen.name)
    return _heard(_VARIABLES, "variables", seen, hearing, _CHANNELVARS)


def _events(seen: Seen, hearing: Hearing) -> Finding:
    if seen.hangups is False:
        return wrong(_EVENTS, "a call has ended just now, and no event told of it", _READ, seen.name)
    if seen.hangups and hearing.get(seen.name, {}).get("hangups") is State.WRONG:
        what = "a call has ended just now, and an event told of it, but not the running router"
        return wrong(_EVENTS, what, f"{_RELOAD}, then restart the router: {_FROM_LOGIN}", seen.name)
    if seen.hangups:
        return fine(_EVENTS, "a call has ended just now, and an event told of it", seen.name)
    return _heard(_EVENTS, "hangups", seen, hearing, _READ)


def _heard(part: str, what: str, seen: Seen, hearing: Hearing, mend: str) -> Finding:
    """What the running router has seen of it, since no call is up that would show it."""
    state = hearing.get(seen.name, {}).get(what, State.NOT_SEEN)
    if state is State.OK:
        return fine(part, "the running router has seen them", seen.name)
    if state is State.WRONG:
        return wrong(part, "the running router misses them", mend, seen.name)
    if seen.stage != "in":
        return unseen(part, _NOT_IN, of=seen.name)
    if part == _DIALS:
        mend = "let a campaign ring a telephone while the router runs"
        return unseen(part, "the running router has not heard of a call that was dialled", mend, seen.name)
    return unseen(part, "no call was up that would show it", "make a call, and ask again while it is up", seen.name)


def _system_name(seen: Seen, all_of_them: Sequence[Seen]) -> Finding:
    if seen.stage != "in" or seen.system_name is None:
        return unseen(_NAME, _NOT_IN if seen.stage != "in" else "it was not told", of=seen.name)
    name = seen.system_name
    if not name:
        return wrong(_NAME, "it has none: its calls cannot be told from other Asterisks'", _SYSTEM_NAME, seen.name)
    same = [each.name for each in all_of_them if each is not seen and each.system_name == name]
    if same:
        what = f"{quote(name)}, as that of {', '.join(map(quote, same))}: their calls cannot be told apart"
        return wrong(_NAME, what, f"{_SYSTEM_NAME}; or both lead to one Asterisk: leave one out", seen.name)
    return fine(_NAME, quote(name), seen.name)


def _dialplan(seen: Seen, agi: Agi, hearing: Hearing) -> list[Finding]:
    if seen.stage != "in" or seen.dialplan is None or len(seen.values) == 0:
        why = _NOT_IN if seen.stage != "in" else "the account may not read it"
        return [unseen(_DIALPLAN, why, of=seen.name), unseen(_ASKED, why, of=seen.name)]
    version = loaded(seen.name, seen.values)
    if not seen.ways and version.state is State.WRONG:
        return [version, unseen(_ASKED, "the dialplan names no router", of=seen.name)]
    asked = fastagi.asked_by_dialplan(agi, seen.name, seen.ways, here=seen.here)
    if asked.state is State.NOT_SEEN and hearing.get(seen.name, {}).get("calls") is State.OK:
        return [version, fine(_ASKED, "the running router has decided calls of it", seen.name)]
    return [version, asked]
