"""What is kept of a database's answers."""

import pytest

from replicator.mirror.answers import KEPT, SAMPLE_MS, Answers
from replicator.position import MariaDbPosition


def at(sequence: int) -> MariaDbPosition:
    return MariaDbPosition.parse(f"0-1-{sequence}")


@pytest.mark.parametrize(
    ("told_ms", "sequence"), [(0, 5), (999, 5), (1_000, 3), (2_899, 3), (2_900, 6), (2_999, 6), (3_000, None)]
)
def test_the_first_answer_after_a_time_is_told(told_ms: int, sequence: int | None) -> None:
    answers = Answers()
    for asked_ms, told in [(1_000, 5), (1_900, 3), (2_900, 3), (3_000, 6)]:
        answers.take(asked_ms, at(told))
    assert answers.after(told_ms) == (None if sequence is None else at(sequence))


def test_of_a_database_that_is_asked_often_some_answers_are_kept_and_the_first_and_the_last() -> None:
    answers = Answers()
    for number in range(1_000):
        answers.take(number * SAMPLE_MS // 5, at(number))
    kept_ms = KEPT * SAMPLE_MS
    last_ms = 999 * SAMPLE_MS // 5
    assert answers.after(-1) == at(0)
    assert answers.after(last_ms - 1) == at(999)
    found = answers.after(last_ms - kept_ms // 2)
    assert found is not None
    assert found.covers(at(999 - KEPT * 5 // 2))
    assert not found.covers(at(999 - KEPT * 5 // 2 + 10))
