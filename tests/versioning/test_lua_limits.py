"""Numbers that a script of ``backends/lua`` names are those of Python."""

import re
from importlib.resources import files

from versioning import generations, header, limits, stamp

LUA = files("versioning.backends") / "lua"
NUMBER = re.compile(r"^local (\w+) = (\d+)\b", re.MULTILINE)
PYTHON = {
    "append.lua": {
        "SEQUENCE_MAX": stamp.SEQUENCE_MAX,
        "MS_MAX": stamp.MS_MAX,
        "CLOCK_LEAD_MAX_MS": limits.CLOCK_LEAD_MAX_MS,
        "KEPT_MAX": generations.KEPT_MAX,
    },
    "fill.lua": {"HEADER_BYTES": header.SIZE, "OVERTAKEN_MAX_MS": limits.OVERTAKEN_MAX_MS},
    "lease.lua": {"HEADER_BYTES": header.SIZE},
    "release.lua": {},
}


def test_every_number_is_the_one_of_python() -> None:
    found = {
        file.name: {name: int(number) for name, number in NUMBER.findall(file.read_text())} for file in LUA.iterdir()
    }
    assert found == PYTHON
