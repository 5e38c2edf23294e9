"""The three worlds: the same two datacenters and the same two ToC, and what keeps their caches true differs.

ttl        nothing does
delete     a consumer of the binlog deletes in Redis and tells every ToC to evict (`loadtests.delete`)
stampline  source, two mirrors, version service
"""

import concurrent.futures
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deploy.simulation import configs
from deploy.simulation.configs import DATABASE, Role
from deploy.simulation.http import is_answering
from deploy.simulation.world import READY_DEADLINE_S, World
from loadtests import rows
from loadtests.priority import give_way
from loadtests.profile import WAN_ONE_WAY_MS, Profile

TTL, DELETE, STAMPLINE = "ttl", "delete", "stampline"
MODES = (TTL, DELETE, STAMPLINE)
TITLES = {TTL: "TTL only", DELETE: "delete on change", STAMPLINE: "stampline"}
TOCS = ("toc-1", "toc-2")
BESIDE = "toc-ttl"
"""A ToC by TTL alone in the stampline world: two caches under the same load at the same time."""

CONSUMER = "consumer"
PIPELINE = {TTL: (), DELETE: (CONSUMER,), STAMPLINE: ("source-1", "mirror-1", "mirror-2")}
TEMPLATES = {
    f"{DATABASE}.tracker_web": (
        "tracker_web:{id}",
        "tracker_web:tracker_id:{tracker_id|lower}",
        "trackers_by_tenant:{tenant_id}",
    ),
    f"{DATABASE}.plan": rows.PLAN_TEMPLATES,
}
PLAN_SECTION = f'[[table]]\nname = "{DATABASE}.plan"\nkeys = ["plan:{{id}}"]\n'


class LoadWorld(World):
    def __init__(self, folder: Path, mode: str, profile: Profile) -> None:
        super().__init__(folder, wan_ms=WAN_ONE_WAY_MS)
        self.mode = mode
        self.profile = profile
        # The server's own count of statements by user: loads are what the ToCs ask, not what the gate asks.
        self.mysql_b.options["userstat"] = "ON"
        self.mysql_a.options["innodb_buffer_pool_size"] = self.mysql_b.options["innodb_buffer_pool_size"] = "128M"

    def start(self, say: Callable[[str], None] = lambda _: None) -> None:
        super().start(say)
        pipeline = (self.processes[name] for name in PIPELINE[self.mode])
        for process in (self.mysql_a.process, self.redis_a.process, *pipeline):
            give_way(process.pid)

    def restart_toc(self, name: str) -> None:
        """Return when it is ready again."""
        self.processes[name].restart()
        self._wait_ready(name)

    def start_beside(self) -> None:
        """Start a ToC by TTL alone next to the others."""
        self._start_role(configs.toc(self.sites, BESIDE))
        self._wait_ready(BESIDE)

    def _prepare_data(self) -> None:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            self.mysql_b.catch_up_with(self.mysql_a)
            list(pool.map(lambda server: rows.create(server, self.profile), (self.mysql_a, self.mysql_b)))

    def _roles(self) -> Iterable[Role]:
        sites = self.sites
        if self.mode == DELETE:
            yield Role(CONSUMER, CONSUMER, "")
        if self.mode == STAMPLINE:
            source = configs.source(sites, "source-1")
            yield Role(source.name, source.command, source.settings + PLAN_SECTION)
            yield from (configs.mirror(sites, name) for name in ("mirror-1", "mirror-2"))
            yield configs.service(sites, "service-1", self.folder)
            yield configs.tob(sites)
        yield from (configs.toc(sites, name) for name in TOCS)

    def _environment(self, role: Role) -> Mapping[str, str]:
        if role.command in {CONSUMER, "tob"}:
            return {}
        settings = self.profile.limits.settings(role.command)
        if role.command == "source":
            # A bulk change of the whole table is above the limit, as it is with the default and 100,000 rows.
            settings["source.keys_max"] = self.profile.trackers
        return {f"STAMPLINE_{key.upper().replace('.', '__')}": str(value) for key, value in settings.items()}

    def _command(self, role: Role, settings: Path) -> list[str]:
        if role.command == CONSUMER:
            tables = [f"{name}={','.join(templates)}" for name, templates in TEMPLATES.items()]
            return [
                *(sys.executable, "-m", "loadtests.delete.consumer"),
                *(self.mysql_b.url("stampline_source"), self.redis_b.url, *tables),
            ]
        if role.command == "toc":
            mode = TTL if role.name == BESIDE else self.mode
            return [sys.executable, "-m", "loadtests.toc", mode, str(settings)]
        return super()._command(role, settings)

    def _wait_ready(self, name: str) -> None:
        if name.startswith("toc") and (self.mode != STAMPLINE or name == BESIDE):
            port = self.http_ports[name]
            self.processes[name].wait_until(lambda: is_answering(port, "/readyz"), READY_DEADLINE_S)
            return
        super()._wait_ready(name)
