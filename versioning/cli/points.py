"""The commands that our packages register. Many services have a package `app`, too: Python may find theirs."""

import importlib.util
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Final

from versioning.errors import ConfigError

HOME: Final = Path(__file__).resolve().parents[2]
"""All packages of ours lie beside each other, in a checkout and where they are installed."""


def load(point: EntryPoint) -> Any:
    """Raises ConfigError where Python finds a package of that name which is not ours, ImportError as an import does."""
    package = point.module.partition(".")[0]
    found = importlib.util.find_spec(package)
    if found is not None:
        places = [Path(place).resolve() for place in found.submodule_search_locations or ()]
        if HOME / package not in places:
            other = places[0] if places else found.origin
            hint = f"take {package!r} out of PYTHONPATH, or give stampline an environment of its own"
            raise ConfigError(f"{other} stands before the package {package!r} of stampline", hint=hint)
    return point.load()
