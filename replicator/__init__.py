"""The replicator: source (binlog to stream A) and mirror (stream A to stream B)."""
