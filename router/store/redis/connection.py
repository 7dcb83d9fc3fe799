"""Redis for the event loop: connections to it, scripts with deadlines, and errors that name the server.

A script is done whole or not at all, and each one here may be done twice without harm: where a connection breaks in the
middle of a reply, it is sent again. Every reply carries the id of its request, since clients of Redis have given one
caller's reply to another after a cancellation.
"""

import asyncio
import contextlib
import itertools
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import redis.exceptions
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, SentinelManagedSSLConnection
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from dialplan.wording import quote
from router.config.limits import REDIS_COMMAND_SECONDS, REDIS_CONNECT_SECONDS, REDIS_CONNECTIONS_MAX
from router.store.api import StoreError
from router.store.redis.address import Address, Options
from router.store.redis.credentials import FilesError, Reader, password, tls
from router.store.redis.lua_script import Script
from router.util.descriptors import TOO_FEW

T = TypeVar("T")
Reply = list[Any]
Client = Redis | RedisCluster

_UNANSWERED = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.InvalidResponse,
)
_REFUSED_IN_SCRIPT = ("The user executing the script can't", "ACL failure in script")  # Redis says it, and Valkey
_IN_SCRIPT = ("user_script", " script: ")  # of an error that ended one
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
_WITHOUT_TLS = "redis: or redis+sentinel:"
_OUR_CERTIFICATE = re.compile("ALERT_(BAD_|UNSUPPORTED_)?(CERTIFICATE|UNKNOWN_CA)")  # what the other end finds of it
_UNUSABLE_FILE = "see that the file is there and may be read"
_CLUSTER = (redis.exceptions.RedisClusterException, redis.exceptions.ClusterDownError)


class UnansweredError(StoreError):
    """No answer came, or not the right one: whether it was done is not known."""


class _SecretError(redis.exceptions.RedisError):
    """A file of a secret cannot be read. For any other error the client keeps a connection that has not logged in."""


class _Credentials(CredentialProvider):
    """The user and the password, which may change while the router runs."""

    def __init__(self, username: str, secret: str, password_file: str) -> None:
        self._username, self._secret = username, secret
        self._file = Reader(lambda: password(password_file), password_file) if password_file else None

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """What a connection that is being made logs in with. Raises _SecretError."""
        try:
            secret = await self._file.read() if self._file is not None else self._secret
        except FilesError as error:
            raise _SecretError(str(error)) from error
        if self._username:
            return self._username, secret
        return (secret,)


def _by(kind: type[SSLConnection], files: Reader[ssl.SSLContext]) -> type[SSLConnection]:
    """Connections of the kind that speak TLS by our files.

    By itself the library trusts all authorities of this machine beside the one that is named, reads the files while
    the event loop waits, and keeps what it has read for good.
    """

    async def connect(own: SSLConnection) -> None:
        own.ssl_context.context = await files.read()
        await kind._connect(own)  # type: ignore[no-untyped-call] # noqa: SLF001 - the one step that opens the socket

    return type(kind.__name__, (kind,), {"_connect": connect})


class _Sentinels(Sentinel):
    """Sentinels whose error says why none of them names a master; the library's own shows its objects instead."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Ask one after the other; who answers is asked first the next time. Raises MasterNotFoundError."""
        errors: list[Exception] = []
        for sentinel in list(self.sentinels):
            try:
                masters: Any = await sentinel.sentinel_masters()
            except redis.exceptions.RedisError as error:
                errors.append(error)
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                self.sentinels.remove(sentinel)  # by its place it would be another's: several ask at a time
                self.sentinels.insert(0, sentinel)
                return str(state["ip"]), int(state["port"])
        text = ": ".join((f"no sentinel names a master {quote(service_name)} that is up", *map(str, errors)))
        ours = (each for each in errors if isinstance(each, redis.exceptions.AuthenticationError | _SecretError))
        raise MasterNotFoundError(text) from next(ours, errors[0] if errors else None)


class Link:
    """Connections to one Redis, or to whichever master the sentinels name now; made when they are needed."""

    def __init__(self, address: Address, options: Options, connections: int = REDIS_CONNECTIONS_MAX) -> None:
        self.address = address
        self.prefix = f"{{{options.prefix}}}"  # of every key: one hash tag, so that a Cluster keeps them together
        self._options = options
        self._connections = connections
        self._places = asyncio.Semaphore(connections)
        self._request_ids = itertools.count()
        self._client: Client | None = None
        self._sentinel: Sentinel | None = None
        files = (options.tls_ca_file, options.tls_cert_file, options.tls_key_file)
        self._tls = Reader(lambda: tls(*files), ", ".join(filter(None, files)) or "the authorities of this machine")

    async def script(
        self,
        script: Script,
        keys: Sequence[str],
        *arguments: str | bytes | float,
        seconds: float | None = None,
    ) -> Reply:
        """Run a script; its reply without the id of the request. Raises StoreError."""
        seconds = REDIS_COMMAND_SECONDS if seconds is None else seconds
        return await self._run(lambda client: self._ask(client, script, keys, arguments), seconds)

    async def _ask(
        self, client: Client, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | float]
    ) -> Reply:
        request_id = str(next(self._request_ids))
        asked: tuple[Any, ...] = (*keys, request_id, *arguments)
        try:
            reply: Reply = await client.evalsha(script.digest, len(keys), *asked)
        except redis.exceptions.NoScriptError:
            reply = await client.eval(script.text, len(keys), *asked)
        if not isinstance(reply, list) or not reply or reply[0] != request_id.encode():
            await self.close()  # whatever else is under way on these connections cannot be trusted either
            raise redis.exceptions.InvalidResponse("it gave the answer to another question")
        return reply[1:]

    async def newer(self, stream: str, after: str, seconds: float) -> bool:
        """Wait until the stream has an entry behind `after`: True as soon as there is one, False after `seconds`.

        Raises StoreError.
        """
        milliseconds = max(1, int(seconds * 1000))
        read = await self._run(
            lambda client: client.xread({stream: after}, count=1, block=milliseconds), seconds + REDIS_COMMAND_SECONDS
        )
        return bool(read)

    async def _run(self, work: Callable[[Client], Awaitable[T]], seconds: float) -> T:
        with named(self.address):
            try:
                async with asyncio.timeout(seconds), self._places:
                    client = self._connected()
                    try:
                        return await _sent(work(client))
                    except redis.exceptions.AuthenticationError:
                        raise
                    except redis.exceptions.ConnectionError:  # it may be one that the server has closed meanwhile
                        return await _sent(work(self._connected()))
            except TimeoutError:
                raise redis.exceptions.TimeoutError(f"no answer within {seconds:g} s") from None

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _connect(self) -> Client:
        address, options = self.address, self._options
        settings: dict[str, Any] = {
            # Each request has its own deadline. With one here too redis-py waits in a way that has swallowed
            # cancellations on Python 3.11: a router did not stop then.
            "socket_timeout": None,
            "socket_connect_timeout": REDIS_CONNECT_SECONDS,
            "retry": Retry(NoBackoff(), 0),  # what is tried again is decided here
            "protocol": 2,
            "client_name": "ringway",
            "driver_info": None,  # else Redis 7.2 notes a refused CLIENT SETINFO for each connection of a least user
            "max_connections": self._connections,
        }
        if address.tls:
            settings["ssl"] = True
        own = _with_credentials(settings, options.username or address.username, address.password, options.password_file)
        if address.service:
            # Where one sentinel is silent another is to be asked before the deadline.
            settings = settings | {"socket_timeout": REDIS_CONNECT_SECONDS}
            theirs = _with_credentials(settings, options.sentinel_username, "", options.sentinel_password_file)
            self._sentinel = _Sentinels(address.hosts, sentinel_kwargs=theirs)  # type: ignore[no-untyped-call]
            master: Redis = self._sentinel.master_for(address.service, db=address.database, **own)
            self._by_files(SentinelManagedSSLConnection, master)
            self._by_files(SSLConnection, *self._sentinel.sentinels)
            return master
        if options.cluster:
            cluster = RedisCluster(startup_nodes=[ClusterNode(*each) for each in address.hosts], **own)
            if address.tls:
                kind = _by(SSLConnection, self._tls)
                cluster.connection_kwargs["connection_class"] = kind
                for node in cluster.startup_nodes:
                    node.connection_class = kind
            return cluster
        ((host, port),) = address.hosts
        client = Redis(host=host, port=port, db=address.database, **own)
        self._by_files(SSLConnection, client)
        return client

    def _by_files(self, kind: type[SSLConnection], *clients: Redis) -> None:
        for each in clients if self.address.tls else ():
            each.connection_pool.connection_class = _by(kind, self._tls)

    async def close(self) -> None:
        """Close every connection; a later request makes new ones."""
        client, self._client = self._client, None
        sentinel, self._sentinel = self._sentinel, None
        if isinstance(client, RedisCluster):  # by itself it keeps connections where the last request has failed
            for nodes in ("nodes_cache", "startup_nodes"):
                with contextlib.suppress(redis.exceptions.RedisError, OSError):
                    await client.nodes_manager.aclose(nodes)
        for each in (client, *(sentinel.sentinels if sentinel is not None else ())):
            if each is not None:
                with contextlib.suppress(redis.exceptions.RedisError, OSError):
                    await each.aclose()


async def _sent(work: Awaitable[T]) -> T:
    try:
        return await work
    except RuntimeError as error:  # uvloop's, where a connection was reset while nobody used it
        raise redis.exceptions.ConnectionError("the connection was reset") from error


def _with_credentials(settings: dict[str, Any], username: str, password: str, password_file: str) -> dict[str, Any]:
    if not (username or password or password_file):
        return settings
    return settings | {"credential_provider": _Credentials(username, password, password_file)}


@contextlib.contextmanager
def named(address: Address) -> Iterator[None]:
    """Turn what Redis and its client raise into a StoreError that names the server and the hint."""
    try:
        yield
    except (
        redis.exceptions.RedisError,
        redis.exceptions.RedisClusterException,
        OSError,
        ValueError,  # a host's name
    ) as error:
        kind = UnansweredError if isinstance(error, _UNANSWERED) else StoreError
        # Of a command that it does not know, such as AUTH, a server tells the arguments as well.
        text = str(error).partition(", with args beginning with")[0].strip().rstrip(".")
        hint = _mend(error, tls=address.tls)
        raise kind(f"store {address.shown}: {text or type(error).__name__}{_done(error)}; {hint}") from error


def _done(error: BaseException) -> str:
    """What has become of what was asked for, where that has to be said."""
    text = str(error)
    if any(each in text for each in _IN_SCRIPT) and not _refused_before(error):
        return "; a part of it may be done already"
    return ""


def _refused_before(error: BaseException) -> bool:
    """Whether it is for a reason that Redis gives at the first write of a script, and never behind it."""
    refusals = (redis.exceptions.OutOfMemoryError, redis.exceptions.ReadOnlyError)
    return isinstance(error, refusals) or str(error).startswith(("MISCONF", "NOREPLICAS"))


def _mend(error: BaseException, *, tls: bool) -> str:
    text = str(error)
    if isinstance(error, MasterNotFoundError):
        if isinstance(error.__cause__, redis.exceptions.AuthenticationError):
            return "see [store] sentinel_username and sentinel_password_file"
        if isinstance(error.__cause__, redis.exceptions.NoPermissionError):
            return "give the sentinels' user the rights that docs/redis.md lists"
        if error.__cause__ is not None:
            return _mend(error.__cause__, tls=tls)
        return "see NAME in [store] url, and what its sentinels say"
    kinds: list[tuple[bool, str]] = [
        (isinstance(error, redis.exceptions.OutOfMemoryError), "raise its maxmemory, or move others out of it"),
        (isinstance(error, redis.exceptions.ReadOnlyError), "it is a replica: name the master, or the sentinels"),
        (
            isinstance(error, redis.exceptions.NoPermissionError) or any(each in text for each in _REFUSED_IN_SCRIPT),
            "give its user the rights that docs/redis.md lists",
        ),
        (
            "nknown command" in text or "nknown Redis command" in text,
            "it was renamed there, or is newer than that server; docs/redis.md has the commands that are wanted",
        ),
        ("Too many open files" in text, TOO_FEW),
        ("DB index is out of range" in text, "see the database at the end of [store] url"),
        ("max number of clients" in text, "raise its maxclients, or see who else has so many connections to it"),
        (isinstance(error, redis.exceptions.AuthenticationError), "see [store] username and password_file"),
        (isinstance(error, redis.exceptions.BusyLoadingError), "wait until it has read its own data"),
        (text.startswith(("MISCONF", "NOREPLICAS")), "see to its disk and its replicas; nothing was changed"),
        (isinstance(error, OSError | _SecretError) or "[store] tls_" in text, _UNUSABLE_FILE),
        (isinstance(error, redis.exceptions.MovedError), "it is one of a Cluster: set [store] cluster"),
        ("Cluster mode is not enabled" in text, "it is no Cluster: leave [store] cluster out"),
        (isinstance(error, _CLUSTER) and "cannot be connected" not in text, "see to its Cluster"),
        ("certificate has expired" in text, "renew its certificate, or that of its authority, or set the clock here"),
        ("certificate is not yet valid" in text, "set the clock here, or where its certificate was made"),
        ("CERTIFICATE_VERIFY_FAILED" in text, "see [store] tls_ca_file, and for which host its certificate is"),
        (
            any(each in text for each in _NO_TLS),
            f"that port speaks no TLS; name another, or write {_WITHOUT_TLS}",
        ),
        (
            _OUR_CERTIFICATE.search(text) is not None,
            "it wants a certificate; see [store] tls_cert_file, tls_key_file",
        ),
        ("[SSL" in text, "see [store] tls_ca_file, tls_cert_file and tls_key_file"),
        ("not known" in text or "'idna'" in text, "see the host in [store] url, and who resolves names here"),
        (isinstance(error, _UNANSWERED + _CLUSTER), f"is it running, and there?{_other_end(text, tls=tls)}"),
    ]
    if not any(each in text for each in _IN_SCRIPT):
        kinds.append((True, "nothing was changed"))
    return next((hint for applies, hint in kinds if applies), "see what its keys and its log say")


def _other_end(text: str, *, tls: bool) -> str:
    """What to ask besides where the two ends may not speak alike: a server with TLS, or without, says nothing of it."""
    if tls and ("Timeout connecting" in text or "reset" in text or "closed" in text):
        return f" Does that port speak no TLS (then write {_WITHOUT_TLS}), or want a certificate (tls_cert_file)?"
    if not tls and ("reset" in text or "closed" in text):
        return " Does that port speak TLS (then write rediss: or rediss+sentinel:)?"
    return ""
