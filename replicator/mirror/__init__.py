"""The mirror and its gate: stream A to stream B, no entry before its data."""
