"""One world from start to stop: the phases of a run, one after the other, under the same steady reads.

A phase that fails is recorded and the next one goes on; what was measured until then is kept.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from app import ttl_only
from deploy.simulation.counters import Monitor
from loadtests import health, locusts, reads
from loadtests.ask import bump_namespace
from loadtests.delete.consumer import Deleter
from loadtests.faults import FAULTS
from loadtests.fill import fill
from loadtests.hammer import Hammer
from loadtests.phases import FAULT, PhaseName
from loadtests.probe import Prober, Seen
from loadtests.profile import Profile
from loadtests.sample import Sample, Sampler
from loadtests.worlds import BESIDE, DELETE, STAMPLINE, TOCS, TTL, LoadWorld
from loadtests.writes import HOT, Writer
from versioning.limits import COLD_MS

PROBES_PER_S = 4.0
PATIENCE_S = {TTL: 1.0, DELETE: 4.0, STAMPLINE: 4.0}
TTL_PROBES_PER_S = 0.5
"""By TTL alone no update is seen soon: looking for it would only be load."""

HOT_GAP_S = 1.0
BEFORE_BUMP_S = 4.0
RECOVERY_MAX_S = 30.0
"""Read timeouts and back-offs of the product are not scaled."""

VALUE_TEXTS = ("tracker_web:", "trackers_by_tenant:", "plan:")
LOCUST = "locust"

Say = Callable[[str], None]


@dataclass
class Phase:
    """What a phase was, by the clock; what happened in it is found by time."""

    name: str
    begin_s: float
    end_s: float = 0.0
    event_s: float = 0.0
    """When the big change was acknowledged, or the fault was over; 0: there was none."""
    before: Sample | None = None
    after: Sample | None = None
    notes: dict[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    failure: str = ""


@dataclass
class Run:
    """Everything seen of one world."""

    mode: str
    profile: Profile
    phases: list[Phase] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    readings: list[reads.Reading] = field(default_factory=list)
    paired: list[reads.Reading] = field(default_factory=list)
    writer: Writer | None = None


class Conductor:
    def __init__(self, world: LoadWorld, profile: Profile, say: Say) -> None:
        self.world = world
        self.profile = profile
        self.say = say
        self.run = Run(world.mode, profile)
        self.sampler = Sampler(world)
        patience_s = PATIENCE_S[world.mode]
        per_s = TTL_PROBES_PER_S if world.mode == TTL else PROBES_PER_S
        self.prober = Prober(world, TOCS, per_s=per_s, patience_s=patience_s)
        self.writer = Writer(world, profile, self.prober.follow)
        self.record = world.folder / "reads"
        self.is_alone = False
        """Locust was stopped on purpose."""

    def perform(self) -> Run:
        try:
            with ExitStack() as stack:
                for part in (self.sampler, self.prober, self.writer):
                    stack.enter_context(part)
                self._phases()
        finally:
            run = self.run
            run.samples, run.seen, run.writer = self.sampler.samples, self.prober.seen, self.writer
            run.readings = list(reads.load(sorted(self.record.glob("*.reads"))))
        return self.run

    def _phases(self) -> None:
        self._prepare()
        self._hot_key()
        locusts.start(self.world, self.profile, TOCS, self.record, LOCUST)
        time.sleep(self.profile.warm_s)
        self._steady()
        self._rapid()
        self._burst()
        self._truncate()
        self._bulk()
        self._bump()
        self._faults()
        if self.world.mode == STAMPLINE:
            self._paired()
            self._gate()

    def _prepare(self) -> None:
        stored = fill(self.world, self.profile)
        self.say(f"{stored} values in Redis B, as the TTL would leave them")

    @contextmanager
    def _phase(self, name: str) -> Iterator[Phase]:
        self.say(name)
        phase = Phase(name, time.time(), before=self.sampler.now())
        self.run.phases.append(phase)
        try:
            yield phase
            self._check_load()
        except Exception as error:  # noqa: BLE001  a failed phase must not lose the others
            phase.failure = f"{type(error).__name__}: {error}"
            self.say(f"{name} FAILED: {phase.failure}")
        phase.end_s, phase.after = phase.end_s or time.time(), phase.after or self.sampler.now()

    def _check_load(self) -> None:
        """A load that ended unnoticed would make every figure look good."""
        locust = self.world.processes.get(LOCUST)
        if self.writer.failure or (locust is not None and not self.is_alone and not locust.is_running):
            raise RuntimeError(self.writer.failure or f"Locust has ended: {locust.log_tail(3) if locust else ''}")

    def _hot_key(self) -> None:
        """Loads of one key, changed again and again while everybody reads it, and nobody reads anything else."""
        with self._phase(PhaseName.HOT_KEY) as phase, Hammer(self.world, TOCS, HOT) as hammer:
            hammer.wait_warm()
            phase.before = self.sampler.now()
            for _ in range(self.profile.hot_changes):
                self.writer.update(HOT)
                time.sleep(HOT_GAP_S)
            phase.notes["changes"] = self.profile.hot_changes
            phase.notes["reads"] = hammer.reads

    def _steady(self) -> None:
        with self._phase(PhaseName.STEADY):
            self.writer.pace(self.profile.steady_updates_per_s)
            time.sleep(self.profile.steady_s)

    def _rapid(self) -> None:
        with self._phase(PhaseName.RAPID):
            self.writer.pace(self.profile.rapid_updates_per_s, self.writer.any)
            time.sleep(self.profile.rapid_s)
        self.writer.pace(self.profile.steady_updates_per_s)

    def _burst(self) -> None:
        with self._phase(PhaseName.BURST) as phase:
            self.writer.burst(self.profile.burst_updates)
            phase.event_s = time.time()
            time.sleep(self.profile.burst_s)

    def _truncate(self) -> None:
        with self._phase(PhaseName.TRUNCATE) as phase:
            phase.event_s = self.writer.truncate_plans()
            time.sleep(self.profile.truncate_s)

    def _bulk(self) -> None:
        with self._phase(PhaseName.BULK) as phase:
            time.sleep(self.profile.bulk_s / 4)
            phase.event_s = self.writer.bulk()
            time.sleep(self.profile.bulk_s)

    def _bump(self) -> None:
        """All trackers made old by hand: a bump with the longest spread; where one deletes, all keys are deleted."""
        if self.world.mode == TTL:
            return
        with self._phase(PhaseName.FILLING), self.writer.paused():
            fill(self.world, self.profile)
        with self._phase(PhaseName.BUMP) as phase:
            time.sleep(BEFORE_BUMP_S)
            phase.event_s = time.time()
            if self.world.mode == STAMPLINE:
                bump_namespace(self.world, "tracker_web", round(self.profile.bump_spread_s * 1000))
                time.sleep(self.profile.bump_spread_s)
            else:
                Deleter(self.world.redis_b.url).namespaces(["tracker_web"])
                time.sleep(self.profile.delete_all_s)

    def _faults(self) -> None:
        with self._phase(PhaseName.FILLING), self.writer.paused():
            fill(self.world, self.profile)
        for fault in FAULTS:
            if fault.modes and self.world.mode not in fault.modes:
                continue
            with self._phase(f"{FAULT}{fault.name}") as phase:
                fault.strike(self.world)
                phase.event_s = time.time()
                health.wait_well(self.world, RECOVERY_MAX_S)
                phase.notes["recovered_after_s"] = time.time() - phase.event_s
                time.sleep(self.profile.recovery_s)

    def _paired(self) -> None:
        """stampline and TTL alone under the same load at the same time: what differs is the cache, not the moment."""
        with self._phase(PhaseName.PAIRED) as phase:
            self.is_alone = True
            self.world.processes[LOCUST].stop()
            self.writer.pace(0)
            # Equally old: what a process has collected costs time as well.
            self.world.restart_toc(TOCS[0])
            self.world.start_beside()
            with self.writer.paused():
                fill(self.world, self.profile)
                fill(self.world, self.profile, TTL)
            record = self.world.folder / "paired"
            locust = locusts.start(self.world, self.profile, (TOCS[0], BESIDE), record, "locust-paired")
            time.sleep(max(self.profile.warm_s, COLD_MS / 1000))
            phase.begin_s, phase.before = time.time(), self.sampler.now()
            time.sleep(self.profile.paired_s)
            phase.end_s, phase.after = time.time(), self.sampler.now()
            self._count_commands(phase)
            locust.stop()
            self.run.paired = list(reads.load(sorted(record.glob("*.reads"))))

    def _count_commands(self, phase: Phase) -> None:
        """MONITOR shows what clients send; the server's own statistics count what scripts do as well."""
        redis = self.world.redis_b
        begin_s = time.time()
        with Monitor(redis, *VALUE_TEXTS) as both, Monitor(redis, ttl_only.PREFIX) as ttl:
            time.sleep(self.profile.paired_s / 4)
        end_s = time.time()
        phase.notes |= {"monitored_from_s": begin_s, "monitored_to_s": end_s}
        phase.notes |= {"stampline_commands": both.commands - ttl.commands, "ttl_commands": ttl.commands}

    def _gate(self) -> None:
        """Locust by itself, with all its users and its own judgement: a spike, and an exit code."""
        with self._phase(PhaseName.GATE) as phase:
            locust = locusts.start_gate(self.world, self.profile)
            locust.wait_until(lambda: not locust.is_running, self.profile.gate_s + locusts.RUNNING_S)
            phase.notes["exit_code"] = float(locust.exit_code or 0)
            phase.said = [line for line in locust.log_tail(60).splitlines() if line.startswith("stampline:")]
