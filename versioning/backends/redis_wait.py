"""A script whose writes replicas must have. WAIT speaks of its own connection's writes, so both go down the same."""

from collections.abc import Sequence
from typing import Any

import redis.exceptions
from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster


async def run_and_wait(
    client: Any, script: Any, keys: Sequence[str], arguments: Sequence[Any], *, replicas: int, wait_ms: int
) -> tuple[Any, int]:
    """Return the script's reply, and how many replicas have what it wrote: ``replicas``, or as many as do in time."""
    if isinstance(client, RedisCluster):
        call = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        return await _run_in_cluster(client, script, call, ("WAIT", replicas, wait_ms))
    async with client.pipeline(transaction=False) as pipe:
        await script(keys=keys, args=arguments, client=pipe)
        pipe.wait(replicas, wait_ms)
        reply, found = await pipe.execute()
    return reply, found


async def _run_in_cluster(
    client: RedisCluster, script: Any, call: tuple[Any, ...], wait: tuple[Any, ...]
) -> tuple[Any, int]:
    """The driver's own pipeline for a cluster takes no script, nor does it promise one connection."""
    node: Any = client.get_node_from_key(call[3])
    try:
        return await _send(node, call, wait)
    except redis.exceptions.NoScriptError:
        await node.execute_command("SCRIPT LOAD", script.script)
        return await _send(node, call, wait)


async def _send(node: ClusterNode, call: tuple[Any, ...], wait: tuple[Any, ...]) -> tuple[Any, int]:
    """Send both over one connection."""
    sent = [PipelineCommand(0, *call), PipelineCommand(1, *wait)]
    await node.execute_pipeline(sent)
    results: list[Any] = [command.result for command in sent]
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results[0], results[1]
