"""Everything the doctor was told and has found, and the checks that need more than one server of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from replicator.doctor.binlog_checks import Retention, check_binlog
from replicator.doctor.findings import Finding, Findings, Severity, Subject
from replicator.doctor.grant_checks import gate_may_ask, source_may_read
from replicator.doctor.histories import check_histories
from replicator.doctor.mysql_facts import MySqlFacts, SchemaFacts
from replicator.doctor.own_certificates import OwnCertificate
from replicator.doctor.redis_checks import StreamFacts, check_server, check_stream
from replicator.doctor.replica_checks import GateContext, check_gate
from replicator.doctor.security_checks import mysql_access, mysql_transport, own_certificate, redis_access
from replicator.doctor.table_checks import check_tables, check_time_zones
from replicator.tables import WatchedTables
from versioning.backends.redis_facts import RedisFacts
from versioning.limits import (
    CLOCK_ERROR_MS,
    DEGRADED_TTL_MS,
    GATE_LIMIT_MS,
    MAX_LAG_MS,
    PROMISE_MS,
    REDIS_TTL_MS,
    WINDOW_MS,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the settings say, as far as checks need it."""

    window_ms: int = WINDOW_MS
    outage_s: int = 0
    tables: WatchedTables | None = None
    reader_id: int | None = None
    """server_id that the source uses for itself."""
    gate_limit_ms: int = GATE_LIMIT_MS
    has_mirror: bool = False
    gate_addresses: tuple[str, ...] = ()
    redis_ttl_ms: int = REDIS_TTL_MS
    is_ttl_known: bool = False
    degraded_ttl_ms: int = DEGRADED_TTL_MS
    max_lag_ms: int = MAX_LAG_MS


@dataclass(frozen=True, slots=True)
class Load:
    """A database that values are loaded from."""

    setting: str
    """Which names it: ``toc.mysql``."""
    address: str
    facts: MySqlFacts | None = None
    """None where it could not be asked."""


@dataclass(frozen=True, slots=True)
class Site:
    plan: Plan = field(default_factory=Plan)
    source: MySqlFacts | None = None
    schema: SchemaFacts = field(default_factory=SchemaFacts)
    gates: tuple[MySqlFacts, ...] = ()
    loads: tuple[Load, ...] = ()
    streams: tuple[StreamFacts, ...] = ()
    values: tuple[RedisFacts, ...] = ()
    certificates: tuple[OwnCertificate, ...] = ()
    unreached: tuple[Finding, ...] = ()
    """One for each server that could not be asked."""


def judge(site: Site) -> list[Finding]:
    """All findings, errors first."""
    found = [*site.unreached, *_of_source(site), *_of_gates(site), *_of_redis(site), *_of_access(site), *_of_all(site)]
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def _of_source(site: Site) -> Findings:
    if site.source is None:
        return
    yield from source_may_read(site.source)
    yield from check_binlog(site.source, Retention(site.plan.window_ms // 1000, site.plan.outage_s))
    if site.plan.tables is not None:
        yield from check_tables(site.source, site.schema, site.plan.tables)
        yield from check_time_zones(site.gates or (site.source,), site.schema, site.plan.tables)


def _of_gates(site: Site) -> Findings:
    context = GateContext(site.plan.gate_limit_ms, site.plan.max_lag_ms, site.source.server_id if site.source else 0)
    for gate in site.gates:
        yield from gate_may_ask(gate)
        yield from check_gate(gate, context)


def _of_redis(site: Site) -> Findings:
    for stream in site.streams:
        yield from check_stream(stream)
    for facts in site.values:
        yield from check_server(Subject(f"values {facts.address}"), facts)


def _of_access(site: Site) -> Findings:
    for mysql in _servers(site):
        yield from mysql_access(mysql)
    for load in site.loads:
        if load.facts is not None:
            yield from mysql_transport(load.facts)
    for stream in site.streams:
        for facts in stream.servers:
            yield from redis_access(stream.server(facts), facts)
    for facts in site.values:
        yield from redis_access(Subject(f"values {facts.address}"), facts)
    for own in site.certificates:
        yield from own_certificate(own)


def _of_all(site: Site) -> Findings:
    yield from server_ids(site)
    if site.source is not None:
        yield from check_histories(site.source, site.gates)
    yield from clocks(site)
    yield from window(site.plan)
    yield from bound(site.plan)
    yield from listed(site)


def server_ids(site: Site) -> Findings:
    by_id: dict[int, list[MySqlFacts]] = {}
    for facts in _servers(site):
        by_id.setdefault(facts.server_id, []).append(facts)
    for server_id, sharing in by_id.items():
        subject = sharing[-1].subject
        if server_id == 0:
            fix = "write server_id = <a number of its own> into my.cnf and restart the server"
            yield subject.error("server_id", "server_id is 0: it can neither replicate nor be replicated", fix)
        elif len({facts.identity for facts in sharing}) > 1:
            fix = f"write server_id = {max(by_id) + 1} into its my.cnf and restart the server"
            others = ", ".join(facts.subject.name for facts in sharing[:-1])
            yield subject.error("server_id", f"server_id {server_id} is also that of {others}", fix)
    if site.plan.reader_id in by_id:
        what = f"server_id {site.plan.reader_id} is also that of {by_id[site.plan.reader_id][0].subject.name}"
        fix = "take server_id out of [source]: each connection then takes a random high one"
        yield Subject("setting source.server_id").error("server_id", what, fix)


def clocks(site: Site) -> Findings:
    readings = [(facts.subject, facts.clock_offset_ms, facts.clock_error_ms) for facts in _servers(site)]
    for stream in site.streams:
        readings += [(stream.server(facts), facts.clock_offset_ms, facts.clock_error_ms) for facts in stream.servers]
    for subject, offset_ms, error_ms in readings:
        if abs(offset_ms) - error_ms > CLOCK_ERROR_MS:
            side = "ahead of" if offset_ms > 0 else "behind"
            what = f"its clock is {abs(offset_ms)} ms {side} this machine's (+-{error_ms} ms); 1 s is tolerated"
            yield subject.error("clock", what, "run chronyd or ntpd on both machines: chronyc makestep")


def window(plan: Plan) -> Findings:
    needed_ms = plan.redis_ttl_ms + plan.gate_limit_ms + CLOCK_ERROR_MS
    if plan.window_ms >= needed_ms:
        return
    subject, fix = Subject("setting stream.window_s"), f"write window_s = {-(-needed_ms // 60_000) * 60} into [stream]"
    if plan.is_ttl_known:
        what = (
            f"values live {plan.redis_ttl_ms // 1000} s in Redis, and changes are remembered {plan.window_ms // 1000} s"
        )
        yield subject.error("window", what, fix)
    else:
        what = f"changes are remembered {plan.window_ms // 1000} s, less than values live by default (1800 s)"
        yield subject.warning("window", what, fix)


def bound(plan: Plan) -> Findings:
    longest_ms = plan.degraded_ttl_ms + plan.max_lag_ms
    if longest_ms >= PROMISE_MS:
        what = f"degraded_ttl_ms + max_lag_ms is {longest_ms}: staleness may pass {PROMISE_MS // 1000} s"
        fix = f"write degraded_ttl_ms = {DEGRADED_TTL_MS} and max_lag_ms = {MAX_LAG_MS} into [toc]"
        yield Subject("setting toc.degraded_ttl_ms").error("bound", what, fix)


def listed(site: Site) -> Findings:
    if not site.plan.has_mirror:
        return
    if not site.plan.gate_addresses:
        what = "no database is listed: entries do not wait for the data, and are settled after fixed delays"
        yield Subject("setting mirror.gate").warning("gate", what, "add a [[mirror.gate]] for each database loads read")
        return
    for load in site.loads:
        if not _is_listed(load, site):
            what = f"{load.setting} reads from {load.address}, and the gate does not wait for it"
            host, _, port = load.address.rpartition(":")
            fix = f'add [[mirror.gate]] with host = "{host}" and port = {port}'
            yield Subject("setting mirror.gate").error("gate", f"{what}: old rows may be kept as new", fix)


def _is_listed(load: Load, site: Site) -> bool:
    """Under whatever name, where the servers can be asked who they are."""
    if load.address in site.plan.gate_addresses:
        return True
    return load.facts is not None and any(load.facts.is_same_server(gate) for gate in site.gates)


def _servers(site: Site) -> Iterable[MySqlFacts]:
    return ((site.source,) if site.source else ()) + site.gates
