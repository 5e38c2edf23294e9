"""What holds for every error, whatever it was made of."""

import pickle

import pytest

from versioning.backends.base import CheckpointRefusedError, UnavailableError
from versioning.errors import LoadFailedError, SerializeError, StampFormatError, StamplineError
from versioning.keys import TemplateError


@pytest.mark.parametrize(
    "error",
    [
        SerializeError("t:1", TypeError("a Decimal")),
        TemplateError("t", "no namespace", hint="begin it with text"),
        StampFormatError("x"),
        CheckpointRefusedError("mysql-a", None),
        LoadFailedError("abandoned", hint="try again"),
        UnavailableError("away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_pool_of_processes_hands_it_on(error: StamplineError) -> None:
    """One that cannot be read there ends a ProcessPoolExecutor, and whoever waits for a multiprocessing.Pool hangs."""
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)
