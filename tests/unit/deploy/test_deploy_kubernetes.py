"""The Kubernetes files are what its API takes, and fit the product: settings, commands, secrets, probes and graces."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.metrics import Metrics
from gateway.settings import load
from gateway.settings.environment import known_variables
from gateway.settings.sections import Server
from gateway.supervisor import _MARGIN
from tests import deployed
from tests.deployed import KUBECTL, KUBERNETES, OVERLAYS, containers, manifests, of_kind, rendered, said_by, understood

BASE = KUBERNETES / "base"
DEPLOYMENTS = {one["metadata"]["name"]: one for one in of_kind(manifests(BASE), "Deployment")}
GATEWAY = DEPLOYMENTS["steelyard-gateway"]
SECRETS = "/run/secrets/steelyard"
#: Kinds of the Prometheus Operator, which are no part of Kubernetes.
FOREIGN = {"ServiceMonitor", "PodMonitor"}
every_deployment = pytest.mark.parametrize("name", DEPLOYMENTS)
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="there is no kubectl on this machine")


def validated(*files: Path) -> None:
    validator = deployed.tool("kubernetes-validate")
    if validator is None:
        pytest.skip("kubernetes-validate is not installed (group `deploy`)")
    told = said_by(validator, "--strict", *map(str, files))
    assert told.returncode == 0, told.stdout + told.stderr
    unknown = re.findall(r"Couldn't find schema for kind (\w+)", told.stdout + told.stderr)
    assert set(unknown) <= FOREIGN


def test_every_object_is_one_that_kubernetes_takes() -> None:
    left_out = {"kustomization.yaml", "steelyard.yaml", "prometheus-adapter-values.yaml"}
    # What patches others is whole only where it is put together.
    patches = {"gateway-scaling.yaml", "gateway-room.yaml"}
    files = [one for one in KUBERNETES.rglob("*.yaml") if one.name not in left_out]
    validated(*(one for one in files if not (one.parent.name == "production" and one.name in patches)))


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_put_together_and_taken(overlay: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole.yaml"
    whole.write_text(rendered(overlay))
    validated(whole)
    found = tuple(yaml.safe_load_all(whole.read_text()))
    assert {one["metadata"].get("namespace", "steelyard") for one in found} == {"steelyard"}
    config = of_kind(found, "ConfigMap")[0]["metadata"]["name"]
    assert config != "steelyard-config"  # it has a hash, so that its change replaces pods
    for deployment in of_kind(found, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        assert config in [one["configMap"]["name"] for one in volumes if "configMap" in one]
        for one in containers(deployment):
            assert one["image"].startswith("registry.example.org/steelyard:")


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_leaves_time_to_take_leave(overlay: str) -> None:
    found = tuple(yaml.safe_load_all(rendered(overlay)))
    patient(next(one for one in of_kind(found, "Deployment") if one["metadata"]["name"] == "steelyard-gateway"))


def patient(deployment: dict[str, Any]) -> None:
    """A gateway is killed after the pause before SIGTERM, its requests' grace and what it takes to write."""
    pod = deployment["spec"]["template"]["spec"]
    gateway = pod["containers"][0]
    variables = {one["name"]: one["value"] for one in gateway["env"]}
    pause = float(gateway["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = float(variables.get("STEELYARD_SHUTDOWN_GRACE", Server().shutdown_grace))
    linger = float(variables.get("STEELYARD_SHUTDOWN_LINGER", Server().shutdown_linger))
    assert pod["terminationGracePeriodSeconds"] >= pause + grace + linger + _MARGIN


def test_the_base_leaves_time_to_take_leave() -> None:
    patient(GATEWAY)


@every_deployment
def test_pods_fit_the_restricted_standard(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    # Else the Service `steelyard` would set STEELYARD_PORT, and STEELYARD_SERVICE_HOST, which nothing starts with.
    assert pod["enableServiceLinks"] is False
    mounted = {one["name"] for one in pod["volumes"]}
    for one in containers(DEPLOYMENTS[name]):
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= one["resources"]["requests"].keys()
        assert "memory" in one["resources"]["limits"]
        assert {mount["name"] for mount in one["volumeMounts"]} == mounted


@every_deployment
def test_variables_are_settings_and_commands_ours(name: str) -> None:
    for one in containers(DEPLOYMENTS[name]):
        assert {variable["name"] for variable in one["env"]} <= known_variables()
        understood(one["args"])
        for variable in one["env"]:
            assert "value" in variable
            if variable["name"] in deployed.secret_variables():
                assert variable["value"].startswith(f"file:{SECRETS}/")


@every_deployment
def test_the_schema_is_there_before_the_pod_starts(name: str) -> None:
    assert [one["args"] for one in DEPLOYMENTS[name]["spec"]["template"]["spec"]["initContainers"]] == [
        ["db", "upgrade"]
    ]


def test_what_is_written_lies_on_volumes() -> None:
    for deployment in DEPLOYMENTS.values():
        for one in containers(deployment):
            variables = {variable["name"]: variable["value"] for variable in one["env"]}
            writable = {mount["mountPath"] for mount in one["volumeMounts"] if not mount.get("readOnly")}
            assert {variables["STEELYARD_LOG_SPILL_DIR"], variables["STEELYARD_ARTIFACTS_DIR"], "/tmp"} == writable


def test_secrets_are_those_of_the_first_run() -> None:
    made = set(re.findall(r"^keep (\w+)", (deployed.ROOT / "deploy" / "first-run.sh").read_text(), re.MULTILINE))
    texts = [(BASE / name).read_text() for name in ("gateway.yaml", "worker.yaml", "steelyard.yaml")]
    used = set(re.findall(rf"file:{SECRETS}/(\w+)", "\n".join(re.sub(r"#.*", "", text) for text in texts)))
    assert used
    assert used <= made


def test_the_gateway_takes_its_configuration(tmp_path: Path) -> None:
    environ = {one["name"]: one["value"] for one in GATEWAY["spec"]["template"]["spec"]["containers"][0]["env"]}
    values = {
        "database_url": "postgresql+asyncpg://steelyard:p@db/steelyard",
        "redis_url": "redis://:p@cache:6379/0",
        "admin_key": "a" * 32,
        "secret_key": "s" * 32,
        "api_key": "c" * 32,
        "metrics_key": "m" * 32,
    }
    for name, value in values.items():
        (tmp_path / name).write_text(value)
    config = tmp_path / "steelyard.yaml"
    config.write_text((BASE / "steelyard.yaml").read_text().replace(SECRETS, str(tmp_path)))
    environ = {name: value.replace(SECRETS, str(tmp_path)) for name, value in environ.items()}
    settings = load({**environ, "STEELYARD_CONFIG": str(config)})
    assert settings.database.url.reveal() == values["database_url"]
    assert [one.name for one in settings.keys] == ["default", "prometheus"]


def test_services_and_bounds_select_the_pods_they_mean() -> None:
    objects = manifests(BASE)
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in DEPLOYMENTS.values()]
    selectors = [one["spec"]["selector"] for one in of_kind(objects, "Service")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in of_kind(objects, "PodDisruptionBudget")]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind(objects, "NetworkPolicy")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in DEPLOYMENTS.values()]
    assert len(selectors) == 8
    for selector in selectors:
        assert [one for one in pods if selector.items() <= one.items()]
    ports = {one["name"] for one in GATEWAY["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert {one["targetPort"] for service in of_kind(objects, "Service") for one in service["spec"]["ports"]} <= ports


def test_gateways_are_scaled_by_a_metric_that_there_is() -> None:
    production = KUBERNETES / "overlays" / "production"
    (scaling,) = of_kind(manifests(production), "HorizontalPodAutoscaler")
    (named,) = [one["pods"]["metric"]["name"] for one in scaling["spec"]["metrics"] if one["type"] == "Pods"]
    assert any(one["type"] == "Resource" for one in scaling["spec"]["metrics"])
    exposed = {one.name for one in Metrics().registry.collect()}
    assert named in exposed
    (rule,) = yaml.safe_load((production / "prometheus-adapter-values.yaml").read_text())["rules"]["custom"]
    assert rule["name"]["as"] == named
    assert re.fullmatch(rule["name"]["matches"], named)
    assert rule["seriesQuery"].startswith(f"{named}{{")


def test_prometheus_is_given_its_key() -> None:
    (monitor,) = of_kind(manifests(KUBERNETES / "overlays" / "monitoring"), "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    (service,) = of_kind(manifests(BASE), "Service")
    assert endpoint["port"] in {one["name"] for one in service["spec"]["ports"]}
    (watch,) = of_kind(manifests(KUBERNETES / "overlays" / "monitoring"), "PodMonitor")
    (other,) = watch["spec"]["podMetricsEndpoints"]
    (worker,) = DEPLOYMENTS["steelyard-worker"]["spec"]["template"]["spec"]["containers"]
    assert other["port"] in {one["name"] for one in worker["ports"]}
    for one in (endpoint, other):
        assert one["authorization"]["credentials"] == {"name": "steelyard", "key": "metrics_key"}


def test_workers_show_themselves_at_the_port_that_is_probed() -> None:
    (worker,) = DEPLOYMENTS["steelyard-worker"]["spec"]["template"]["spec"]["containers"]
    assert worker["args"][worker["args"].index("--metrics-port") + 1] == str(worker["ports"][0]["containerPort"])
