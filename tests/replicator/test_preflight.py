"""What is asked of a stream before a source writes to it."""

import pytest

from replicator.errors import OtherSourceError
from replicator.source.preflight import check_writers
from versioning.checkpoint import Checkpoint
from versioning.limits import MAX_LAG_MS

NOW_MS = 1_700_000_000_000


def checkpoint(age_ms: int) -> Checkpoint:
    return Checkpoint("0-1-1", NOW_MS - age_ms, "n")


def test_a_stream_is_left_to_the_source_of_another_name_that_writes_to_it() -> None:
    with pytest.raises(OtherSourceError, match=r"source:b writes to this stream.*source:a"):
        check_writers({"source:b": checkpoint(MAX_LAG_MS)}, "source:a", NOW_MS)


def test_our_own_checkpoint_a_mirrors_and_one_of_a_source_that_is_gone_are_no_other_source() -> None:
    found = {"source:a": checkpoint(0), "mirror:a": checkpoint(0), "source:old": checkpoint(MAX_LAG_MS + 1)}
    check_writers(found, "source:a", NOW_MS)
