"""Two datacenters on two cores: what has machines of its own in production gives way to the ToCs.

Linux puts every session of processes into a scheduling group of its own (autogroup) and shares the cores between the
groups; a nice value counts within one only. So the group's own value is set as well.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

NICE: Final = 10


def give_way(pid: int | None) -> None:
    """Lower the priority of a process, with all its threads, where the system has a way to. None: it has ended."""
    if pid is None:
        return
    process = Path("/proc") / str(pid)
    with suppress(OSError):
        (process / "autogroup").write_text(str(NICE))
    with suppress(OSError):
        for thread in (process / "task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)
