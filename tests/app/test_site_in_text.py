"""The picture that the service draws is what ``stampline status`` lays out: no field of it goes by another name."""

import re

import pytest

from tests.app.sites import Site, mirror, source, toc
from versioning.cli import picture


def shown(site: Site) -> str:
    lines = picture.lines(site.draw().model_dump(mode="json"))
    return "\n".join(" ".join(re.sub(r"\x1b\[[0-9;]*m", "", line).split()) for line in lines)


def test_a_site_that_is_well_shows_every_part_and_process() -> None:
    text = shown(Site(others=[toc()]))
    assert text.startswith("ok All is well")
    for words in ("a -> b", "lag 0.4 s of 15 s", "1.0 changes/s", "source-1 up read 0.3 s ago", "gate mysql-b ok"):
        assert words in text
    assert "mirror-2 up read 0.4 s ago" in text
    assert "toc-1 up lag 0.4 s" in text
    for part in picture.PARTS.values():
        assert re.search(rf"^{part}.* (ok|unknown) ", text, re.MULTILINE), part


@pytest.mark.parametrize(
    ("site", "words"),
    [
        (Site(sources=[source(is_up=False)]), "source-1 down nothing listens there; seen"),
        (Site(mirrors=[mirror(is_connected=False)], lag_ms=61_000), "wan: The WAN link is cut"),
    ],
    ids=["process down", "wan cut"],
)
def test_what_is_wrong_is_said_with_what_to_look_at(site: Site, words: str) -> None:
    text = shown(site)
    assert words in text
    assert "\nlook: " in text


def test_a_duration_is_said_as_on_the_dashboard() -> None:
    text = shown(Site(mirrors=[mirror(is_connected=False)], lag_ms=61_999))
    assert "heard nothing from stream A for 61 s." in text
    assert "lag 61 s of 15 s" in text
