"""The binlog: from bytes on a socket to our own events, and what the rows in them mean for keys."""
