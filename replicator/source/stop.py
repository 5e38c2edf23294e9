"""What ends a binlog connection, and shows that its reader turns."""

import threading

from versioning.client.pulse import Pulse


class StopFlag(threading.Event):
    """Its reader looks here at every turn, twenty times a second where nothing comes; so each look beats the pulse."""

    def __init__(self) -> None:
        super().__init__()
        self.pulse = Pulse()

    def is_set(self) -> bool:
        self.pulse.beat()
        return super().is_set()
