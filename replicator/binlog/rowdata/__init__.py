"""Rows out of the bytes of a binlog event: pure, and only the columns that somebody needs."""
