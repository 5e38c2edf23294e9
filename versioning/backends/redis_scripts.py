"""The Lua scripts of ``lua/``, as commands on the wire."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from hiredis import pack_command

_LUA: Final = files("versioning.backends") / "lua"

Call = tuple[Sequence[str], Sequence[str | bytes]]
"""Keys and arguments of a script."""


def packed(*words: str | bytes) -> bytes:
    """Return a command as it goes out."""
    command: bytes = pack_command(words)  # type: ignore[arg-type]  # its stubs know tuples of one
    return command


class Script:
    """Called by its digest; a Redis that was started or flushed since must be given the text again (``load``)."""

    def __init__(self, name: str) -> None:
        self.text = (_LUA / name).read_text()
        self.load = packed("SCRIPT", "LOAD", self.text)
        self._sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def command(self, call: Call) -> bytes:
        keys, arguments = call
        return packed("EVALSHA", self._sha, str(len(keys)), *keys, *arguments)


FILL: Final = Script("fill.lua")
LEASE: Final = Script("lease.lua")
RELEASE: Final = Script("release.lua")
