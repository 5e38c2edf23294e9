"""The accounts of deploy/redis/*.acl as an aclfile: the files users are given are the ones the simulation runs on."""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

FOLDER = Path(__file__).resolve().parent.parent / "redis"
ADMIN = "admin"
TTL_ONLY = "toc_ttl"
VALUES_PREFIX = "cache:"
_ACCOUNT = re.compile(r"^user (\w+) on", re.MULTILINE)


@dataclass(frozen=True)
class RedisUsers:
    template: str
    passwords: dict[str, str] = field(repr=False)
    """By account, fresh for each run."""

    @classmethod
    def of(cls, side: str) -> Self:
        """`side` is a or b."""
        template = (FOLDER / f"users-{side}.acl").read_text() + _of_the_toc_without_stampline(side)
        return cls(template, {name: secrets.token_hex(16) for name in _ACCOUNT.findall(template)})

    def aclfile(self) -> str:
        text = "\n".join(line for line in self.template.splitlines() if not line.startswith("#"))
        text = text.replace("<values>", VALUES_PREFIX)
        for name, password in self.passwords.items():
            text = text.replace(f"<{name}>", password)
        return text + "\n"


def _of_the_toc_without_stampline(side: str) -> str:
    """It caches under a prefix of its own, so that the two never read each other's values."""
    lines = (FOLDER / f"users-{side}.acl").read_text().splitlines()
    mine = [line for line in lines if line.startswith("user stampline_toc ")]
    return "".join(line.replace("stampline_toc", TTL_ONLY).replace("<values>", "ttl:<values>") + "\n" for line in mine)
