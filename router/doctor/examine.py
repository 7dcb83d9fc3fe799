"""All parts of a site, looked at together: a host that is silent holds up none of the others."""

import asyncio

from router.config.settings import Settings
from router.doctor import agi, asterisk, configuration, managers, router_page, stores
from router.doctor.clocks import compared
from router.doctor.findings import Finding


async def examine(settings: Settings, source: str) -> list[Finding]:
    """What is found of a site by a configuration that can be used; `source`: where that came from. Raises nothing."""
    async with asyncio.TaskGroup() as tasks:
        of_store = tasks.create_task(stores.look(settings.store))
        of_port = tasks.create_task(agi.look(settings.agi))
        of_router = tasks.create_task(router_page.look(settings.metrics))
        of_asterisks = [tasks.create_task(asterisk.look(each)) for each in settings.ami]
    stored, server_clocks = of_store.result()
    page, running = of_router.result()
    seen = [each.result() for each in of_asterisks]
    clocks = [each.clock for each in seen if each.clock is not None] + server_clocks
    return [
        *configuration.usable(settings, source),
        *stored,
        running,
        agi.port(settings.agi, of_port.result()),
        *agi.allow(settings.agi, managers.callers(seen, settings.agi), page),
        *managers.found_of(seen, settings.ami, settings.agi, router_page.hearing(page)),
        *compared(clocks),
    ]
