"""The types of binlog events as MySQL and MariaDB number them, and what is done with each.

Law: no other file knows the number of a type. What is in ``DECODED`` passes ``wire`` and has a method in ``decoder``;
what is in ``IRRELEVANT`` is dropped; ``COMPRESSED`` and ``TRANSACTION_PAYLOAD`` become plain events; any other one is
refused. Plain numbers, bound by name where they are used: they are compared for every event.
"""

from typing import Final

QUERY: Final = 2
STOP: Final = 3
ROTATE: Final = 4
INTVAR: Final = 5
APPEND_BLOCK: Final = 9
DELETE_FILE: Final = 11
RAND: Final = 13
USER_VAR: Final = 14
FORMAT_DESCRIPTION: Final = 15
XID: Final = 16
BEGIN_LOAD_QUERY: Final = 17
EXECUTE_LOAD_QUERY: Final = 18
TABLE_MAP: Final = 19
WRITE_ROWS_V1: Final = 23
UPDATE_ROWS_V1: Final = 24
DELETE_ROWS_V1: Final = 25
INCIDENT: Final = 26
HEARTBEAT: Final = 27
IGNORABLE: Final = 28
ROWS_QUERY: Final = 29
WRITE_ROWS_V2: Final = 30
UPDATE_ROWS_V2: Final = 31
DELETE_ROWS_V2: Final = 32
GTID: Final = 33
ANONYMOUS_GTID: Final = 34
PREVIOUS_GTIDS: Final = 35
TRANSACTION_CONTEXT: Final = 36
VIEW_CHANGE: Final = 37
XA_PREPARE: Final = 38
PARTIAL_UPDATE_ROWS: Final = 39
TRANSACTION_PAYLOAD: Final = 40

MARIADB_ANNOTATE_ROWS: Final = 160
MARIADB_BINLOG_CHECKPOINT: Final = 161
MARIADB_GTID: Final = 162
MARIADB_GTID_LIST: Final = 163
MARIADB_START_ENCRYPTION: Final = 164
MARIADB_QUERY_COMPRESSED: Final = 165
MARIADB_WRITE_ROWS_COMPRESSED_V1: Final = 166
MARIADB_UPDATE_ROWS_COMPRESSED_V1: Final = 167
MARIADB_DELETE_ROWS_COMPRESSED_V1: Final = 168
MARIADB_WRITE_ROWS_COMPRESSED: Final = 169
MARIADB_UPDATE_ROWS_COMPRESSED: Final = 170
MARIADB_DELETE_ROWS_COMPRESSED: Final = 171

ROWS_V1: Final = frozenset({WRITE_ROWS_V1, UPDATE_ROWS_V1, DELETE_ROWS_V1})
ROWS_V2: Final = frozenset({WRITE_ROWS_V2, UPDATE_ROWS_V2, DELETE_ROWS_V2, PARTIAL_UPDATE_ROWS})
"""Their head has the length of data that follows it."""
ROWS: Final = ROWS_V1 | ROWS_V2
UPDATES: Final = frozenset({UPDATE_ROWS_V1, UPDATE_ROWS_V2, PARTIAL_UPDATE_ROWS})
"""Two images of each row."""

UNKNOWN_CHANGES: Final = frozenset({EXECUTE_LOAD_QUERY, INCIDENT})
"""Told from their type alone: something changed, and they do not say what."""

DECODED: Final = ROWS | UNKNOWN_CHANGES | {
    TABLE_MAP, XID, GTID, MARIADB_GTID, QUERY, XA_PREPARE, ROTATE, FORMAT_DESCRIPTION, HEARTBEAT,
}  # fmt: skip

IRRELEVANT: Final = frozenset({
    STOP, INTVAR, APPEND_BLOCK, RAND, USER_VAR, BEGIN_LOAD_QUERY,  # a query follows all but the first
    DELETE_FILE,  # of a LOAD DATA that failed
    IGNORABLE, ROWS_QUERY, ANONYMOUS_GTID, PREVIOUS_GTIDS, TRANSACTION_CONTEXT, VIEW_CHANGE,
    MARIADB_ANNOTATE_ROWS, MARIADB_BINLOG_CHECKPOINT, MARIADB_GTID_LIST, MARIADB_START_ENCRYPTION,
})  # fmt: skip

COMPRESSED: Final = {
    MARIADB_QUERY_COMPRESSED: QUERY,
    MARIADB_WRITE_ROWS_COMPRESSED_V1: WRITE_ROWS_V1,
    MARIADB_UPDATE_ROWS_COMPRESSED_V1: UPDATE_ROWS_V1,
    MARIADB_DELETE_ROWS_COMPRESSED_V1: DELETE_ROWS_V1,
    MARIADB_WRITE_ROWS_COMPRESSED: WRITE_ROWS_V2,
    MARIADB_UPDATE_ROWS_COMPRESSED: UPDATE_ROWS_V2,
    MARIADB_DELETE_ROWS_COMPRESSED: DELETE_ROWS_V2,
}
"""MariaDB's log_bin_compress: each is a plain event with its end deflated."""
