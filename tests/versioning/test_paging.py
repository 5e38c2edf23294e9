"""The size of a page finds what a link can carry, and does not forget it where it is not used."""

from versioning.paging import PageSize

MOST = 1_000


def size_after_misses(count: int) -> PageSize:
    size = PageSize(MOST)
    for _ in range(count):
        size.missed(size.entries)
    return size


def test_a_page_that_did_not_come_is_asked_for_by_quarters_down_to_one_entry() -> None:
    assert [size_after_misses(count).entries for count in range(7)] == [1_000, 250, 62, 15, 3, 1, 1]


def test_a_page_that_was_smaller_than_the_size_is_quartered_itself() -> None:
    size = PageSize(MOST)
    size.missed(200)
    assert size.entries == 50


def test_full_pages_make_it_grow_back_to_the_most_and_no_further() -> None:
    size, grown = size_after_misses(5), []
    for _ in range(60):
        size.came(size.entries)
        grown.append(size.entries)
    assert grown == sorted(grown)
    assert grown[:4] == [2, 3, 4, 5]
    assert grown[-1] == MOST


def test_a_short_page_proves_nothing_of_a_long_one() -> None:
    size = size_after_misses(2)
    for _ in range(60):
        size.came(0)
        size.came(10)
    assert size.entries == 62


def test_on_a_link_of_any_capacity_most_pages_come_and_are_not_much_smaller_than_they_could_be() -> None:
    for capacity in (7, 60, 400, 999):
        size, carried = PageSize(MOST), []
        for _ in range(200):
            if size.entries > capacity:
                size.missed(size.entries)
            else:
                carried.append(size.entries)
                size.came(size.entries)
        assert len(carried) > 150
        assert sum(carried) > len(carried) * capacity / 3
