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

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from tests.docs.pages import ROOT
from versioning.cli.settings import Settings

DEPLOY = ROOT / "deploy"
DOCKER = DEPLOY / "docker"
KUBERNETES_VERSION = "1.33"
UNIT = DEPLOY / "systemd" / "stampline@.service"
SETTINGS = sorted([*DOCKER.glob("*.toml"), *DEPLOY.glob("k8s/*/*.toml")])
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


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_manifests_follow_the_schema_of_kubernetes(path: Path) -> None:
    for manifest in manifests(path):
        kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


def test_every_manifest_is_applied() -> None:
    for file in DEPLOY.glob("k8s/*/kustomization.yaml"):
        wanted = yaml.safe_load(file.read_text())
        assert set(wanted["resources"]) == {path.name for path in file.parent.glob("*.yaml")} - {file.name}
        assert (file.parent / wanted["configMapGenerator"][0]["files"][0]).exists()


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
        secrets = {
            item["path"] for volume in pod["volumes"] if "secret" in volume for item in volume["secret"]["items"]
        }
        assert secrets <= set(
            re.findall(r"/run/secrets/stampline/([\w-]+)", (path.parent / "stampline.toml").read_text())
        )


def test_every_deployment_has_a_disruption_budget_of_its_own() -> None:
    for path, deployment in _deployments():
        selector = deployment["spec"]["selector"]
        budgets = [item for item in manifests(path) if item["kind"] == "PodDisruptionBudget"]
        assert selector in [budget["spec"]["selector"] for budget in budgets]


def test_commands_of_containers_are_commands_of_ours() -> None:
    roles = {"source", "mirror", "serve", "toc", "tob", "audit"}
    for name, service in compose()["services"].items():
        if service["image"] == "stampline":
            assert service["command"][0] in roles, name
    for path, deployment in _deployments():
        assert deployment["spec"]["template"]["spec"]["containers"][0]["args"][0] in roles, path


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
        assert "--metrics-port" in flags
    assert os.access(DOCKER / "secrets.sh", os.X_OK)
