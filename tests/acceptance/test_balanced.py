"""Two gateways behind the compose files' nginx: streams pass as they come, and no request is lost but to a crash."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import ssl
from collections.abc import Generator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from providers import simulator
from tests.acceptance.bad_days import MODEL, a_crowd, ask, callers, eventually, four
from tests.acceptance.bad_processes import Program, a_program, configuration, free_port
from tests.acceptance.balancing import Balancer, a_balancer, needs_nginx
from tests.acceptance.driving import World
from tests.acceptance.gated import a_gate, whole

pytestmark = needs_nginx


@pytest.fixture
def running() -> Generator[simulator.Running]:
    with simulator.start(four()) as started:
        yield started


@pytest.fixture
def pair(running: simulator.Running, tmp_path: Path) -> Generator[tuple[Program, Program]]:
    """Two gateways that serve."""
    with ExitStack() as stack:
        config = configuration(running, four())
        both = [stack.enter_context(a_program(tmp_path / name, config)) for name in ("first", "second")]
        for one in both:
            one.export(STEELYARD_SHUTDOWN_LINGER="6")  # as the compose files do
            one.start()
        yield both[0], both[1]


async def test_a_stream_passes_as_it_comes(tmp_path: Path) -> None:
    async with a_gate() as gate:
        with a_program(tmp_path / "gateway", gate.configuration) as program:
            await asyncio.to_thread(program.start)
            with a_balancer(tmp_path / "nginx", program.port) as balancer:
                async with callers() as session:
                    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
                    async with session.post(f"{balancer.url}/v1/chat/completions", json=body) as answer:
                        # The provider says no more until the gate opens: what is read here has passed before its end.
                        first = await asyncio.wait_for(answer.content.readuntil(b"Here it is."), 30)
                        gate.open()
                        rest = await answer.content.read()
            assert answer.status == 200
            assert b"Here it is." in first
            assert b"[DONE]" in rest


async def test_a_gateway_that_is_killed_costs_its_own_requests_and_no_other(
    pair: tuple[Program, Program], tmp_path: Path
) -> None:
    with a_balancer(tmp_path / "nginx", *(one.port for one in pair)) as balancer:
        async with a_crowd(balancer.url, pace=80, at_most=3000) as crowd:
            await crowd.more(60)
            pair[0].kill()
            asked = crowd.asked
            await crowd.more(100)
        lost = [one for one in crowd.answers if not one.good]
    # Those that were on their way in it; whoever came later is answered by the other.
    assert [(one.number, one.status) for one in lost if one.number > asked] == []
    assert len(crowd.answers) > asked


async def test_gateways_are_replaced_one_after_another_without_a_lost_request(
    pair: tuple[Program, Program], tmp_path: Path
) -> None:
    with a_balancer(tmp_path / "nginx", *(one.port for one in pair)) as balancer:
        async with a_crowd(balancer.url, pace=60, at_most=6000) as crowd:
            await crowd.more(30)
            for one in pair:
                one.terminate()
                assert await one.ended() == 0
                await crowd.more(30)
                await asyncio.to_thread(one.start)
                await crowd.more(30)
    assert not crowd.bad


async def test_what_began_in_a_gateway_that_is_stopped_ends_there(tmp_path: Path) -> None:
    async with a_gate() as gate:
        with a_program(tmp_path / "gateway", gate.configuration) as program:
            await asyncio.to_thread(program.start)
            with a_balancer(tmp_path / "nginx", program.port) as balancer:
                async with callers() as session:
                    asked = [
                        asyncio.create_task(ask(session, balancer.url, f"{n}.", stream=n % 2 == 0)) for n in (1, 2)
                    ]
                    await eventually(lambda: gate.waiting == 2)
                    program.terminate()
                    await asyncio.sleep(1.2)  # longer than idle connections are left open
                    gate.open()
                    assert all(whole(one) for one in await asyncio.gather(*asked))
                    assert await program.ended() == 0


async def test_errors_are_the_gateways_own_and_metrics_stay_inside(world: World, tmp_path: Path) -> None:
    with a_balancer(tmp_path / "nginx", port_of(world)) as balancer:
        async with callers() as session:
            async with session.get(f"{world.url}/metrics") as answer:
                assert answer.status == 200
            async with session.get(f"{balancer.url}/metrics") as answer:
                assert answer.status == 404
            large = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "a" * (20 * 1024**2)}]})
            async with session.post(f"{balancer.url}/v1/chat/completions", data=io.BytesIO(large.encode())) as answer:
                assert answer.status == 413
                assert "error" in await answer.json()
            async with session.get(f"{balancer.url}/health/ready") as answer:
                assert answer.status == 200


async def test_a_key_in_an_address_is_in_no_log(tmp_path: Path) -> None:
    """Google's API takes it so; of a request that meets no gateway nginx would tell the whole address."""
    with a_balancer(tmp_path / "nginx", free_port()) as balancer:
        address = f"{balancer.url}/v1beta/models?key=a-callers-key"
        async with callers() as session, session.get(address) as answer:
            assert answer.status == 502
        await eventually(lambda: "/v1beta/models" in balancer.requests)
        assert "a-callers-key" not in balancer.requests + balancer.said


def test_nginx_takes_the_configuration_as_it_is(tmp_path: Path) -> None:
    checked = Balancer(tmp_path / "nginx", [8000, 8001]).checked()
    assert checked.returncode == 0, checked.stderr


async def test_one_that_does_not_even_refuse_costs_no_request(world: World, tmp_path: Path) -> None:
    # As an address whose container is gone: nothing answers there, not even with a refusal.
    with socket.socket() as deaf, ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # more than wait to be accepted
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        with a_balancer(tmp_path / "nginx", deaf.getsockname()[1], port_of(world)) as balancer:
            async with callers() as session:
                told = await asyncio.gather(
                    *(ask(session, balancer.url, f"question {one}.", model="auto") for one in range(8))
                )
        assert [(one.status, one.body) for one in told if not one.good] == []
        # One of them was given to the first, in vain, and then to the second.
        assert '"upstream_status":"504, 200"' in balancer.requests


async def test_in_production_it_speaks_tls(world: World, tmp_path: Path) -> None:
    certified(tmp_path / "tls")
    with a_balancer(tmp_path / "nginx", port_of(world), tls=tmp_path / "tls") as balancer:
        trusting = ssl.create_default_context(cafile=tmp_path / "tls" / "tls_certificate")
        async with callers() as session:
            async with session.get(f"https://127.0.0.1:{balancer.tls_port}/health/ready", ssl=trusting) as answer:
                assert answer.status == 200
                assert answer.headers["strict-transport-security"] == "max-age=31536000"
            # For the machine itself.
            async with session.get(f"{balancer.url}/health/ready") as answer:
                assert answer.status == 200


def port_of(world: World) -> int:
    return int(world.url.rpartition(":")[2])


def certified(folder: Path) -> None:
    """The two files that an operator brings: a certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "tls_certificate").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "tls_key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
