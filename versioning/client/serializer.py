"""The default serializer: JSON by orjson. Any object with ``dumps`` and ``loads`` can replace it."""

from typing import Any

import orjson


class OrjsonSerializer:
    def dumps(self, value: Any) -> bytes:
        return orjson.dumps(value)

    def loads(self, data: bytes) -> Any:
        return orjson.loads(data)
