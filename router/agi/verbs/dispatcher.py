"""Which verb answers a request, and what is answered where none can."""

from collections.abc import Awaitable, Callable, Sequence

from router.agi.messages import AgiRequest
from router.agi.verbs.verb import Response, UnknownVerbError, Verb


class Dispatcher:
    """Hands each request to its verb. `fallback` makes the response to a call whose data cannot be trusted."""

    def __init__(self, verbs: Sequence[Verb], fallback: Callable[[], Response]) -> None:
        self._verbs = {verb.name: verb for verb in verbs}
        self._fallback = fallback

    @property
    def names(self) -> list[str]:
        """The verbs that there are."""
        return list(self._verbs)

    def answer(self, request: AgiRequest, now: float) -> Response | Awaitable[Response]:
        """Answer `request` at `now` (epoch seconds); to be awaited where a store has to be asked.

        Raises UnknownVerbError.
        """
        verb = self._verbs.get(request.script)
        if verb is None:
            raise UnknownVerbError(request.script)
        return verb.answer(request, now)

    def fallback_response(self, revoked: Response | None = None) -> Response:
        """The platform's default with reason `error`.

        `revoked` is a response that was given before its request was known to be forged; what it set is emptied. Which
        verb the call really asked for nobody knows then: so it gets a destination in any case.

        The first command empties the variable that is trusted, and the last one sets ROUTE_STATUS: cut off anywhere
        behind the first, nothing of `revoked` counts, and the dialplan goes on as without a router.
        """
        response = self._fallback()
        if revoked is None or revoked.verb is None:
            return response
        commands = (*revoked.verb.revocation(revoked), *response.commands)
        return response._replace(commands=commands, verb=revoked.verb)

    def failed_response(self, request: AgiRequest) -> Response:
        """The same to a request whose verb has failed: it is timed with its verb, and a decision if that makes one."""
        verb = self._verbs[request.script]
        response = self._fallback()
        return response._replace(verb=verb, decision=response.decision if verb.decides else None)
