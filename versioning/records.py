"""``record``: a frozen dataclass to everyone who reads or type-checks it, made in a tenth of the time.

``dataclass(frozen=True)`` sets each field through ``object.__setattr__``: for the three parts of an entry three
microseconds, where the rest of decoding it takes two, and a follower that starts decodes a million. So for these few
classes an assignment is refused by the type checker alone.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(**options: Any) -> Any:
        """Take ``dataclass``'s own options; ``frozen`` becomes a hash by value."""
        is_frozen = options.pop("frozen")
        return dataclasses.dataclass(unsafe_hash=is_frozen, **options)


__all__ = ["record"]
