"""The simulation's settings files: what a newcomer's dashboard shows after `deploy/demo.sh --keep`."""

from pathlib import Path

from app.settings import ServeSection
from deploy.simulation import configs
from deploy.simulation.world import World
from versioning.cli.settings import Settings


def test_each_service_shows_every_process_but_itself_and_the_world_without_stampline(tmp_path: Path) -> None:
    roles = configs.all_roles(World(tmp_path).sites, tmp_path)
    stamplines = {role.name for role in roles} - {configs.TTL_ONLY, "tob"}
    for role in (role for role in roles if role.command == "serve"):
        (tmp_path / "serve.toml").write_text(role.settings)
        listed = Settings.load(tmp_path / "serve.toml").one(ServeSection).component
        assert {component.name for component in listed} == stamplines - {role.name}
        ports = {f"http://127.0.0.1:{other.http_port or other.metrics_port}": other.command for other in roles}
        assert all(ports[component.url] == component.role for component in listed)
