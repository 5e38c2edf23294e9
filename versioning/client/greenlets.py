"""The follower's event loop, also where gevent has made greenlets of Python's threads.

A thread of the system has one running loop, so all its greenlets would see the follower's: Django would refuse every
query ("async context"), ``asyncio.run`` would not begin, nor would the follower of a second cache. Law: wherever other
greenlets may come in, the running loop is theirs.
"""

import asyncio
import selectors
import sys
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
_Args = TypeVarTuple("_Args")


@contextmanager
def loop_runner() -> Iterator[asyncio.Runner]:
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        with asyncio.Runner() as runner:
            yield runner
        return
    turns = _Turns()
    with turns.ours(), asyncio.Runner(loop_factory=partial(_GreenletLoop, turns)) as runner:
        yield runner


class _Turns:
    """Whose turn it is: what asyncio keeps for a thread of the system is theirs, but for the moments that are ours."""

    def __init__(self) -> None:
        self.our_loop: asyncio.AbstractEventLoop | None = None
        self._ours, self._theirs = _Kept.of_thread(), _Kept.of_thread()

    @contextmanager
    def ours(self) -> Iterator[None]:
        self._theirs = _Kept.of_thread()
        _set_running_loop(None)
        try:
            yield
        finally:
            self._theirs.restore()

    @contextmanager
    def theirs(self) -> Iterator[None]:
        ours = _Kept.of_thread()
        if ours.loop is self.our_loop:  # not where a handler of our log let others come in
            self._ours = ours
        self._theirs.restore()
        try:
            yield
        finally:
            self._theirs = _Kept.of_thread()
            self._ours.restore()


class _Kept(NamedTuple):
    loop: asyncio.AbstractEventLoop | None
    generator_hooks: Any

    @classmethod
    def of_thread(cls) -> "_Kept":
        return cls(_get_running_loop(), sys.get_asyncgen_hooks())

    def restore(self) -> None:
        _set_running_loop(self.loop)
        sys.set_asyncgen_hooks(*self.generator_hooks)


class _GreenletLoop(asyncio.SelectorEventLoop):
    def __init__(self, turns: _Turns) -> None:
        self._turns = turns
        turns.our_loop = self
        super().__init__(_Selector(turns))

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Args]], T], *args: *_Args
    ) -> asyncio.Future[T]:
        with self._turns.theirs():  # where a name is looked up a thread may be started, and that is waited for
            return super().run_in_executor(executor, func, *args)


class _Selector(selectors.BaseSelector):
    """gevent's, found when it is made: a web server may patch after this module was imported."""

    def __init__(self, turns: _Turns) -> None:
        self._turns = turns
        self._selector = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        with self._turns.theirs():
            return self._selector.select(timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._selector.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()

    def close(self) -> None:
        self._selector.close()
