"""Our caches with one key in the process and a follower's index that vouches for it: what a hit finds in production.

The stream is the in-memory backend, since a hit touches neither it nor Redis; clock, index and local cache are the real
ones. A heartbeat thread keeps the index from lagging, as the real stream does.
"""
