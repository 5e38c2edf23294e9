"""``@cache.cached("tracker_web:{id}")``: the key comes from the call's arguments, the function is the loader."""

import inspect
from collections.abc import Callable
from typing import Any, Final

from versioning.errors import ConfigError
from versioning.keys import KeyTemplate

_PLAIN: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def key_template(text: str) -> KeyTemplate:
    """Parse what ``cached`` was given. Raises ConfigError at the decorator's own line, before it has a function."""
    if not isinstance(text, str):
        raise ConfigError(f"cached got {text!r} for a key template", hint='write @cache.cached("user:{id}")')
    return KeyTemplate.parse(text)


class CallKey:
    """Makes the key of a call. Raises ConfigError when made of a template that names no parameter of the function."""

    def __init__(self, template: KeyTemplate, function: Callable[..., Any]) -> None:
        self._template = template
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        unknown = [name for name in self._template.columns if name not in parameters]
        if unknown:
            name = getattr(function, "__qualname__", repr(function))
            raise ConfigError(f"key template {template.text!r}: {name} has no parameter {unknown[0]!r}")
        is_plain = all(parameter.kind in _PLAIN for parameter in parameters.values())
        self._names = tuple(parameters) if is_plain else None

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        key = self._template.render(self._arguments(args, kwargs))
        if key is None:
            raise TypeError("an argument of the key is missing")
        return key

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self._names is not None and not kwargs and len(args) == len(self._names):
            return dict(zip(self._names, args, strict=True))  # a third of the cost of binding
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments
