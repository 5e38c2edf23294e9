"""What a page shows as Python runs as it stands: whoever embeds a cache begins by pasting it."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from tests.docs.pages import ROOT

_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "deploy/INTEGRATION.md"])
def test_an_example_runs_and_its_lifespan_is_one(page: str) -> None:
    examples = _PYTHON.findall(Path(ROOT, page).read_text())
    assert len(examples) == 2
    for example in examples:
        names: dict[str, Any] = {}
        exec(example, names)  # noqa: S102 - our own page
        Starlette(lifespan=names.get("lifespan"))
