"""Settings from the environment: ``STAMPLINE_<SECTION>__<KEY>``. What is spelled otherwise is refused, not ignored."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_origin

from pydantic import BaseModel

from versioning.errors import ConfigError

ENV_PREFIX: Final = "STAMPLINE_"
ENV_CONFIG: Final = "STAMPLINE_CONFIG"
NESTED: Final = "__"

_NO_SETTINGS: Final = frozenset({ENV_CONFIG, "STAMPLINE_ARTIFACTS", "STAMPLINE_CACHE", "STAMPLINE_CHAOS_CLOCK"})
"""All but the first are for the tests and the simulation, and roles that these start inherit them."""

_OF_KUBERNETES: Final = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
_LINK: Final = re.compile(r"(tcp|udp|sctp)://")
"""What Kubernetes tells every pod of a Service whose name begins with ``stampline``, in the manner of Docker's links:
``STAMPLINE_SERVE_SERVICE_HOST``, ``STAMPLINE_SERVE_PORT=tcp://10.0.0.9:8700``, ``STAMPLINE_SERVE_PORT_8700_TCP_ADDR``.
"""


def variable_of(*keys: str) -> str:
    """Return the name of the variable that sets a key, or a whole section."""
    return f"{ENV_PREFIX}{NESTED.join(keys)}".upper()


def check_environment(environ: Mapping[str, str], sections: Mapping[str, Any]) -> None:
    """Raises ConfigError for a name that no setting is read from. What is inside a section is for its type to check."""
    for name, value in environ.items():
        if name.upper().startswith(ENV_PREFIX) and not (name in _NO_SETTINGS or _is_link(name, value)):
            section = name[len(ENV_PREFIX) :].lower().partition(NESTED)[0]
            if section not in sections:
                raise ConfigError(f"environment: {name} is no setting", hint=_hint(name, sections))


def no_json(environ: Mapping[str, str], cause: BaseException | None) -> ConfigError:
    """Name the variable of a list that cannot be read, and not what is in it: that may be a password."""
    found, where = "a list", ""
    if isinstance(cause, json.JSONDecodeError):
        ours = (name for name, value in environ.items() if name.upper().startswith(ENV_PREFIX) and value == cause.doc)
        found, where = next(ours, found), f": {cause.msg} at character {cause.pos + 1}"
    return ConfigError(f"environment: {found} is no JSON{where}", hint='a list is one name, as \'[{"name": "b1"}]\'')


def _is_link(name: str, value: str) -> bool:
    return bool(_OF_KUBERNETES.search(name)) or (name.endswith("_PORT") and bool(_LINK.match(value)))


def _hint(name: str, sections: Mapping[str, Any]) -> str:
    known = [ENV_CONFIG.removeprefix(ENV_PREFIX), *_names(sections)]
    near = difflib.get_close_matches(name[len(ENV_PREFIX) :].upper(), known, 1)
    return f"did you mean {ENV_PREFIX}{near[0]}?" if near else f"known sections: {', '.join(sorted(sections))}"


def _names(sections: Mapping[str, Any]) -> Iterator[str]:
    for section, kind in sections.items():
        yield from _names_in(section.upper(), kind)


def _names_in(name: str, kind: Any) -> Iterator[str]:
    """Lists are one name each: they come as JSON."""
    if get_origin(kind) is list or not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        yield name
        return
    for key, field in kind.model_fields.items():
        yield from _names_in(f"{name}{NESTED}{key.upper()}", field.annotation)
