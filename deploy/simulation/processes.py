"""Whatever is started here is stopped here: in order, by its own id, whatever happens.

Three nets, each below the one before: `ProcessGroup` stops its members in reverse order when its block is left, on
SIGTERM, on Ctrl-C and at exit; a process that ignores SIGTERM gets SIGKILL, and so does all of its group; and when we
ourselves are killed, the kernel kills our children (`setpriv --pdeathsig`). That wish takes effect a moment after the
child began, so the child then looks whether we are still its parent, and does not begin its work when we are not.

The kernel sends that last signal when the *thread* that started the child ends, so one thread, which lives as long as
the interpreter, starts them all.
"""

import atexit
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol, Self, TypeVar

STOP_DEADLINE_S = 10.0
POLL_S = 0.01
LOG_TAIL_LINES = 30


class ProcessError(RuntimeError):
    """A process did not start, did not become ready, or ended by itself; the message ends with its log."""


class Stoppable(Protocol):
    def stop(self) -> None: ...


_Member = TypeVar("_Member", bound=Stoppable)
_Handler = Callable[[int, FrameType | None], Any] | int | None
_Spawn = Callable[[], "subprocess.Popen[bytes]"]
_Spawned = subprocess.Popen[bytes] | OSError


class ManagedProcess:
    """One child process in a process group of its own, with its output in a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log_path: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log_path = log_path
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        if self.is_running:
            raise ProcessError(f"{self.name} is already running (pid {self.pid}): stop it first")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._popen = _spawner.spawn(self._spawn)

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Ask the process to end (SIGTERM); kill it when it has not within the deadline."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # A paused process takes SIGTERM only once it runs again.
        if not self._wait(deadline_s):
            self.kill()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if not self._wait(STOP_DEADLINE_S):
            raise ProcessError(f"{self.name} (pid {self.pid}) outlives SIGKILL: it hangs in the kernel")

    def restart(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        self.stop(deadline_s)
        self.start()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        with self._lock:
            return self._popen is not None and not self._reap(self._popen)

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen is not None else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs or before its start; negative: ended by that signal."""
        return None if self.is_running or self._popen is None else self._popen.returncode

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, is_ready: Callable[[], bool], deadline_s: float) -> None:
        """Return once `is_ready()`; raise with the log when the process ends first or the deadline passes."""
        give_up_at = time.monotonic() + deadline_s
        while not is_ready():
            if not self.is_running:
                raise ProcessError(f"{self.name} ended with code {self.exit_code}; {self._log_for_humans()}")
            if time.monotonic() > give_up_at:
                raise ProcessError(f"{self.name} is not ready after {deadline_s:g} s; {self._log_for_humans()}")
            time.sleep(POLL_S)

    def _log_for_humans(self) -> str:
        return f"the end of {self.log_path}:\n{self.log_tail()}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*die_with(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._popen is not None and not self._reap(self._popen):
                os.killpg(self._popen.pid, number)

    def _wait(self, deadline_s: float) -> bool:
        give_up_at = time.monotonic() + deadline_s
        while self.is_running:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(POLL_S)
        return True

    @staticmethod
    def _reap(popen: subprocess.Popen[bytes]) -> bool:
        """Whether the process has ended; its group ends with it.

        The group is killed before the process is reaped: until then no other process can be given its id.
        """
        if popen.returncode is not None:
            return True
        if os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
        return True


class ProcessGroup:
    """Stops its members in reverse order when the block is left, however it is left.

    Add a member BEFORE it is started: then one that fails half-way is stopped too.
    """

    def __init__(self) -> None:
        self._members: list[Stoppable] = []
        self._handlers: dict[signal.Signals, _Handler] = {}

    def add(self, member: _Member) -> _Member:
        self._members.append(member)
        return member

    def close(self) -> None:
        """Stop every member, even when one of them fails or the user presses Ctrl-C again; raise the failures after."""
        failures: list[Exception] = []
        with _signals_ignored():
            while self._members:
                try:
                    self._members.pop().stop()
                except Exception as failure:  # noqa: BLE001  the others must be stopped all the same
                    failures.append(failure)
        if failures:
            raise ExceptionGroup("some processes did not stop cleanly", failures)

    def __enter__(self) -> Self:
        atexit.register(self.close)
        if _in_main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # Under nohup, a closed terminal ends nothing.
                    self._handlers[number] = signal.signal(number, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            atexit.unregister(self.close)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)


class _Spawner:
    """The one thread that starts children; see the top of this file for why."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[_Spawn, queue.SimpleQueue[_Spawned]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def spawn(self, order: _Spawn) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spawner", daemon=True)
                self._thread.start()
        answer: queue.SimpleQueue[_Spawned] = queue.SimpleQueue()
        self._orders.put((order, answer))
        spawned = answer.get()
        if isinstance(spawned, OSError):
            raise ProcessError(f"cannot start a process: {spawned}; run deploy/setup.sh") from spawned
        return spawned

    def _run(self) -> None:
        while True:
            order, answer = self._orders.get()
            try:
                answer.put(order())
            except OSError as error:
                answer.put(error)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Any wish that we end is one Ctrl-C: nobody on the way up takes it for an ordinary failure."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """Each stop has its own deadline, so ignoring Ctrl-C meanwhile never hangs."""
    if not _in_main_thread():
        yield
        return
    old = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def die_with(owner: int) -> list[str]:
    """The beginning of a command line that ends its process when process `owner`, which starts it, ends."""
    setpriv = shutil.which("setpriv")  # util-linux: there on every Debian.
    if setpriv is None:
        return []
    return [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", _UNLESS_ORPHANED, "sh", str(owner)]


_UNLESS_ORPHANED = '[ "$PPID" = "$1" ] && shift && exec "$@"'
_spawner = _Spawner()
