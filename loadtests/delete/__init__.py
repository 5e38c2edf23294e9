"""The baseline most teams build: on a change, delete the keys in Redis and tell every web process to evict its copies.

Written the way a good team would: it follows the binlog of the replica that loads read from (so no key is deleted
before its row is there), takes the keys of both row images, deletes in pipelines, resumes from a saved GTID, and
deletes a second time a moment later, against loads that read the old row and stored it after the delete. A web
process that lost the channel empties its local cache, for it may have missed something. What all that cannot do is
the point of comparing.

messages  what goes over the channel        consumer  binlog to deletes        cache  that of a web process
"""
