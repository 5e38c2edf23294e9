"""Fork (gunicorn, uwsgi, multiprocessing): whoever holds locks, threads or connections hears of it in the child."""

import codecs
import os
from typing import Protocol
from weakref import WeakSet

# Every first connection looks this codec up, which imports a module under a lock. A child forked while another thread
# of the parent did so would wait for that lock for ever: so it is looked up here, before there are threads.
codecs.lookup("idna")


class Forkable(Protocol):
    def after_fork(self) -> None: ...


_living: "WeakSet[Forkable]" = WeakSet()


def watch(forkable: Forkable) -> None:
    _living.add(forkable)


def _tell_all() -> None:
    for forkable in list(_living):
        forkable.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell_all)
