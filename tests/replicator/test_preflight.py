"""What is asked of a stream before a source writes to it."""

import pytest

from replicator.errors import OtherWriterError
from replicator.source.preflight import check_writers
from versioning.checkpoint import Checkpoint
from versioning.limits import MAX_LAG_MS

NOW_MS = 1_700_000_000_000


def checkpoint(age_ms: int) -> Checkpoint:
    return Checkpoint("0-1-1", NOW_MS - age_ms, "n")


@pytest.mark.parametrize("writer", ["source:b", "mirror:a"])
def test_a_stream_is_left_to_another_writer(writer: str) -> None:
    with pytest.raises(OtherWriterError, match=rf"{writer} writes to this stream.*source:a"):
        check_writers({writer: checkpoint(MAX_LAG_MS)}, "source:a", NOW_MS)


def test_our_own_checkpoint_and_one_of_a_source_that_is_gone_are_no_other_writer() -> None:
    check_writers({"source:a": checkpoint(0), "source:old": checkpoint(MAX_LAG_MS + 1)}, "source:a", NOW_MS)
