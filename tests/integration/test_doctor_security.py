"""What the doctor says of links that are not verified and of accounts that may do everything, on real Redis."""

from collections.abc import Callable
from pathlib import Path

from deploy.simulation.certificates import Authority
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_users import ADMIN, RedisUsers
from replicator.doctor.findings import Finding, Subject
from replicator.doctor.security_checks import redis_access
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_facts import redis_facts


async def examine(url: str) -> list[Finding]:
    (facts,) = await redis_facts(RedisAddress.parse(url))
    return list(redis_access(Subject("stream"), facts))


async def test_whom_and_what_to_mend_is_named(new_redis: Callable[..., RedisServer], tmp_path: Path) -> None:
    authority, users = Authority(tmp_path / "ca"), RedisUsers.of("b")
    redis = new_redis(certificate=authority.issue("redis"), users=users)
    files = authority.issue("client").query

    def url(account: str, more: str = "") -> str:
        return f"rediss://{account}:{users.passwords[account]}@{redis.address}/0{files}{more}"

    assert await examine(url("stampline_doctor")) == []
    (broad,) = await examine(url(ADMIN))
    assert broad.check == "acl"
    assert f"account {ADMIN} may do everything" in broad.what
    assert "deploy/redis/users-*.acl" in broad.fix
    for switch in ("ssl_cert_reqs=none", "ssl_check_hostname=false"):
        (unverified,) = await examine(url("stampline_doctor", f"&{switch}"))
        assert unverified.check == "tls_unverified"
        assert switch.partition("=")[0] in unverified.fix


async def test_on_this_machine_a_redis_may_be_open_to_all(redis_a: RedisServer) -> None:
    assert await examine(redis_a.url) == []
