"""The source: binlog to stream A."""
