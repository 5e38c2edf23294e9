"""What a server is: MariaDB or MySQL, how it counts transactions, which words its version knows. Asked nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from replicator.position import Flavor

VERSION_VARIABLES: Final = ("version", "gtid_mode", "gtid_strict_mode")
"""Global variables that ``ServerVersion.of`` looks at."""


@dataclass(frozen=True, slots=True)
class ServerVersion:
    flavor: Flavor
    """The notation it counts in, unless it follows a server that has another one."""
    number: tuple[int, int]
    """Major and minor; (0, 0) for a text that does not begin with them."""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self:
        """``variables``: names in lower case, those that the server does not know are absent."""
        version = variables.get("version", "").lower()
        # Who builds a MariaDB, or configures it, may take the name out of its version.
        if "mariadb" in version or "gtid_strict_mode" in variables:
            return cls(Flavor.MARIADB, _number(version))
        has_gtids = variables.get("gtid_mode", "").upper() == "ON"
        return cls(Flavor.MYSQL if has_gtids else Flavor.FILE, _number(version))

    @property
    def is_mariadb(self) -> bool:
        return self.flavor is Flavor.MARIADB

    @property
    def has_new_words(self) -> bool:
        """MySQL from 8.4 on says REPLICA and SOURCE for SLAVE and MASTER; MariaDB goes on with the old words."""
        return not self.is_mariadb and self.number >= (8, 4)


def _number(version: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)
