"""Settings as text that may be logged: secrets and passwords inside URLs are masked, what is empty is left out."""

import re
from pathlib import PurePath
from typing import Any, Final

from pydantic import BaseModel, SecretStr

MASK: Final = "***"
# As whoever connects divides it: credentials end at the last @ before the path, and the user at their first colon.
_PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^/?#:]*):[^/?#]*@")
_PASSWORD_IN_QUERY: Final = re.compile(r"(password=)[^&]*")


def mask_url(text: str) -> str:
    return _PASSWORD_IN_QUERY.sub(rf"\1{MASK}", _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", text))


def masked(value: Any) -> Any:  # noqa: PLR0911 - one line per type
    """Return ``value`` as plain JSON types, without anything secret."""
    match value:
        case BaseModel():
            fields = {name: masked(getattr(value, name)) for name in type(value).model_fields}
            return {name: field for name, field in fields.items() if field is not None and field != ""}
        case dict():
            return {str(name): masked(item) for name, item in value.items()}
        case list() | tuple():
            return [masked(item) for item in value]
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case PurePath():
            return str(value)
        case str():
            return mask_url(value)
    return value
