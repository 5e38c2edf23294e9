"""Images, manifests and units that cannot be started here: what they name exists, and the real linters agree."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from app.settings import ComponentSection, ServeSection
from tests.app import worlds
from tests.docs.pages import ROOT, pages
from versioning.cli.settings import Settings

DEPLOY = ROOT / "deploy"
DOCKER = DEPLOY / "docker"
KUBERNETES_VERSION = "1.33"
UNIT = DEPLOY / "systemd" / "stampline@.service"
SETTINGS = sorted([*DOCKER.glob("*.toml"), *DEPLOY.glob("k8s/*/*.toml")])
PORTS = {"source": "9480", "mirror": "9481", "audit": "9482", "serve": "8700", "toc": "8710"}
"""Where a role answers probes, Prometheus and the dashboard, whoever starts it."""

MANIFESTS = sorted(path for path in DEPLOY.glob("k8s/*/*.yaml") if path.name != "kustomization.yaml")


def compose() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "compose.yml").read_text())  # type: ignore[no-any-return]


def manifests(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_follows_the_rules() -> None:
    run(Path(sys.executable).parent / "hadolint", DOCKER / "Dockerfile")


def test_the_image_copies_what_is_there() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    let_in = set(re.findall(r"^!(\S+)", (DOCKER / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in let_in, source
    assert "USER 10001:10001" in text


def test_compose_follows_the_specification() -> None:
    PyCompose.from_yaml(yaml.safe_dump(compose())).to_spec()


def test_compose_mounts_and_networks_are_there() -> None:
    wanted = compose()
    for name, service in wanted["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in wanted["volumes"] if "/" not in source else (DOCKER / source).exists(), f"{name}: {source}"
        assert set(service["networks"]) <= set(wanted["networks"]), name
        assert set(service.get("secrets", ())) <= set(wanted["secrets"]), name
    made = (DOCKER / "secrets.sh").read_text()
    for secret in wanted["secrets"].values():
        assert Path(secret["file"]).name in made


def test_prometheus_scrapes_what_compose_starts() -> None:
    services = compose()["services"]
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            name, _, port = target.partition(":")
            served = [*services[name]["command"], *(port.split(":")[-1] for port in services[name].get("ports", ()))]
            file = next(DOCKER / Path(part).name for part in served if part.endswith(".toml"))
            assert port in served or f"port = {port}" in file.read_text(), target


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_settings_are_valid(path: Path, monkeypatch) -> None:
    monkeypatch.delenv("STAMPLINE_CONFIG", raising=False)
    assert Settings.load(path).values


def test_settings_log_in_to_redis_with_accounts_that_the_acl_files_have() -> None:
    accounts = set(re.findall(r"(?m)^user (\w+) on", "".join(path.read_text() for path in DEPLOY.glob("redis/*.acl"))))
    for path in (*SETTINGS, DEPLOY / "stampline.example.toml", DEPLOY / "RUNBOOK.md"):
        assert set(re.findall(r'url = "rediss?://(\w+)@', path.read_text())) <= accounts, path


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_manifests_follow_the_schema_of_kubernetes(path: Path) -> None:
    for manifest in manifests(path):
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_every_manifest_is_applied() -> None:
    for file in DEPLOY.glob("k8s/*/kustomization.yaml"):
        wanted = yaml.safe_load(file.read_text())
        assert set(wanted["resources"]) == {path.name for path in file.parent.glob("*.yaml")} - {file.name}
        for settings in wanted["configMapGenerator"][0]["files"]:
            assert (file.parent / settings).exists()


def _deployments() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in MANIFESTS:
        yield from ((path, manifest) for manifest in manifests(path) if manifest["kind"] == "Deployment")


def test_pods_are_locked_down_and_read_only_secrets_that_are_mounted() -> None:
    for path, deployment in _deployments():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"livenessProbe", "readinessProbe", "startupProbe"} <= container.keys()
        settings = path.parent / Path(_after("--config", container["args"])).name
        secrets = {
            item["path"] for volume in pod["volumes"] if "secret" in volume for item in volume["secret"]["items"]
        }
        assert secrets <= set(re.findall(r"/run/secrets/stampline/([\w-]+)", settings.read_text()))


def _after(flag: str, arguments: list[str]) -> str:
    return arguments[arguments.index(flag) + 1]


def test_every_deployment_of_several_has_a_disruption_budget_of_its_own() -> None:
    for path, deployment in _deployments():
        if deployment["spec"]["replicas"] == 1:
            continue
        selector = deployment["spec"]["selector"]
        budgets = [item for item in manifests(path) if item["kind"] == "PodDisruptionBudget"]
        assert selector in [budget["spec"]["selector"] for budget in budgets]


def test_pods_that_clients_are_sent_to_end_when_nobody_is_any_more() -> None:
    """The end of a pod and the news of it go out at once, and it refuses connections as soon as it is told."""
    for path, deployment in _deployments():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert ("lifecycle" in container) is (container["args"][0] == "serve"), path


async def test_pods_that_clients_are_sent_to_stay_ready_in_an_outage() -> None:
    path = DEPLOY / "k8s" / "dc-b" / "serve.yaml"
    (deployment,) = [item for item in manifests(path) if item["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probe = container["readinessProbe"]["httpGet"]["path"]
    async with worlds.service() as world:
        assert (await world.client.get(probe)).status_code == 503, "what has read nothing is not asked"
        await world.complete()
        world.clock.ms += 3_600_000
        assert (await world.client.get("/readyz")).status_code == 503
        assert (await world.client.get(probe)).status_code == 200


def test_commands_of_containers_are_commands_of_ours() -> None:
    roles = {"source", "mirror", "serve", "toc", "tob", "audit"}
    for name, service in compose()["services"].items():
        if service["image"] == "stampline":
            assert service["command"][0] in roles, name
    for path, deployment in _deployments():
        assert deployment["spec"]["template"]["spec"]["containers"][0]["args"][0] in roles, path


def test_a_role_has_the_same_port_wherever_it_is_started() -> None:
    for page in (*pages(), DEPLOY / "docker" / "Dockerfile", *(ROOT / "replicator").rglob("*command*.py")):
        for role, port in re.findall(r"stampline (\w+)[^\n]*--metrics-port (\d+)", page.read_text()):
            assert port == PORTS[role], page
    default = re.findall(r"HEALTH_URL=(\S+)", (DOCKER / "Dockerfile").read_text())[0]
    for name, service in compose()["services"].items():
        if "--metrics-port" in service.get("command", ()):
            port = PORTS[service["command"][0]]
            assert _after("--metrics-port", service["command"]) == port, name
            assert service.get("environment", {}).get("HEALTH_URL", default) == f"http://127.0.0.1:{port}/livez", name
    for path, deployment in _deployments():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        port = PORTS[container["args"][0]]
        if "--metrics-port" in container["args"]:
            assert _after("--metrics-port", container["args"]) == port, path
        assert container["ports"][0]["containerPort"] == int(port), path
        assert deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == port, path


def components(path: Path) -> list[ComponentSection]:
    found = list(Settings.load(path).one(ServeSection).component)
    assert all(component.url.endswith(f":{PORTS[component.role]}") for component in found), path
    return found


def test_the_dashboard_of_compose_shows_every_process_of_ours_but_the_service_itself() -> None:
    services = {name: service["command"][0] for name, service in compose()["services"].items()
                if service["image"] == "stampline"}  # fmt: skip
    listed = {urlsplit(component.url).hostname: component.role for component in components(DOCKER / "b.toml")}
    assert listed == {name: role for name, role in services.items() if name not in {"serve-1", "tob"}}
    networks = compose()["services"]["serve-1"]["networks"]
    for name in listed:
        assert set(networks) & set(compose()["services"][str(name)]["networks"]), name


def test_the_dashboard_of_kubernetes_asks_services_that_policies_let_it_ask() -> None:
    listed = components(DEPLOY / "k8s" / "dc-b" / "stampline.toml")
    assert {component.role for component in listed} == {"source", "mirror", "audit"}
    for component in listed:
        folder = DEPLOY / "k8s" / ("dc-a" if component.role == "source" else "dc-b")
        found = [item for path in folder.glob("*.yaml") for item in manifests(path)]
        name = str(urlsplit(component.url).hostname).partition(".")[0]
        (service,) = [item for item in found if item["kind"] == "Service" and item["metadata"]["name"] == name]
        port = int(PORTS[component.role])
        assert service["spec"]["ports"][0]["port"] == port
        assert service["spec"]["selector"] in [
            item["spec"]["selector"]["matchLabels"] for item in found if item["kind"] == "Deployment"
        ]
        policies = [item["spec"] for item in found if item["kind"] == "NetworkPolicy"]
        assert len([rule for spec in policies for rule in spec.get("ingress", ()) if port in _ports(rule)]) > 1
        here = [item["spec"] for item in manifests(DEPLOY / "k8s" / "dc-b" / "network-policies.yaml")]
        assert any(port in _ports(rule) for spec in here for rule in spec.get("egress", ())), port


def _ports(rule: dict[str, Any]) -> set[int]:
    return {item["port"] for item in rule["ports"]}


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    unit = tmp_path / "stampline@source.service"
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text()))
    run("systemd-analyze", "verify", unit)


def test_the_unit_restarts_everything_but_what_a_person_must_mend() -> None:
    text = UNIT.read_text()
    assert "Type=notify\n" in text
    assert "Restart=always\n" in text
    assert "RestartPreventExitStatus=2\n" in text
    for file in (DEPLOY / "systemd").glob("*.env"):
        flags = shlex.split(re.findall(r"(?m)^ROLE_FLAGS=(.*)$", file.read_text())[0])
        assert _after("--metrics-port", flags) == PORTS[file.stem]
        assert _after("--metrics-host", flags) == "127.0.0.1"
    assert os.access(DOCKER / "secrets.sh", os.X_OK)
