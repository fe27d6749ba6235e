"""The laws of tokens: who may sign, for whom, until when; and what is no way in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Busy, Forbidden, TooManyWrongKeys, Unauthorized
from gateway.governance.entrance import Entrance, is_token
from gateway.governance.guessing import Guesses
from gateway.governance.keys import Principal, Principals, require_lasting
from gateway.governance.tokens import Tokens, Unfit, verifiers_of
from gateway.settings.secrets import Secret
from gateway.settings.tokens import Jwt

NOW = 1_800_000_000.0
SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def public(key: Any, kid: str | None = None, **more: Any) -> dict[str, Any]:
    kind = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    name = next((alg for of, alg in kind.items() if isinstance(key, of)), "EdDSA")
    entry: dict[str, Any] = json.loads(jwt.get_algorithm_by_name(name).to_jwk(key.public_key()))
    entry.pop("key_ops", None)
    return {**entry, **({"kid": kid} if kid else {}), **more}


class Issuer:
    """Publishes keys and signs tokens; its clock stands."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.now = NOW
        self.monotonic = 50.0
        self.reads = 0
        self.problem: Exception | None = None

    async def read(self, source: str) -> bytes:
        self.reads += 1
        if self.problem is not None:
            raise self.problem
        return msgspec.json.encode({"keys": self.keys})

    def tokens(self, **settings: Any) -> Tokens:
        wanted = Jwt(**settings)
        return Tokens(wanted, self.read, wall=lambda: self.now, monotonic=lambda: self.monotonic, salt=b"x" * 16)

    async def published(self, **settings: Any) -> Tokens:
        made = self.tokens(jwks="https://issuer.example/keys", audience="steelyard", **settings)
        await made.published.again()
        return made


def signed(key: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **claims: Any) -> str:
    told = {"sub": "ann", "exp": int(NOW) + 60} | claims
    told = {name: value for name, value in told.items() if value is not None}
    return jwt.encode(told, key, algorithm, headers={"kid": kid} if kid else None)


def shared(**settings: Any) -> Tokens:
    return Issuer().tokens(secret=Secret(SECRET), **settings)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_signed_with_the_secret_names_its_caller(algorithm: str) -> None:
    found = shared().find(signed(algorithm=algorithm))
    assert found == Principal("jwt:ann", expires=NOW + 60)


def test_what_a_token_says_of_its_caller_holds() -> None:
    found = shared().find(signed(scope="openid steelyard:read", tags=["a", "b"], models="gpt-4o, sim-chat"))
    assert (found.scopes, found.admin) == (frozenset({"read"}), False)
    assert (found.tags, found.models) == (("a", "b"), ("gpt-4o", "sim-chat"))


def test_claims_may_have_other_names() -> None:
    names = {"name_claim": "who", "scopes_claim": "may", "tags_claim": "of", "models_claim": "asks"}
    found = shared(**names).find(signed(sub=None, who="bob", may=["steelyard:admin"], of="x", asks=[]))
    assert (found.name, found.admin, found.tags, found.models) == ("jwt:bob", True, ("x",), ())


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, {"use", "read"}),
        ("openid admin", {"use", "read"}),  # another's administrator is not ours
        ("steelyard:use", {"use"}),
        ("steelyard:use steelyard:admin", {"use", "admin"}),
        ("steelyard:other", set()),
    ],
)
def test_scopes_are_those_with_our_name_before_them(scope: str | None, scopes: set[str]) -> None:
    found = shared().find(signed(scope=scope))
    assert (found.scopes, found.admin) == (frozenset(scopes), "admin" in scopes)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"nbf": float("nan")},
        {"nbf": "now"},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "x" * 300},
        {"scope": 7},
        {"tags": [1]},
        {"models": {"a": 1}},
        {"aud": "somebody else"},
    ],
    ids=lambda claims: str(claims)[:60],
)
def test_what_is_not_understood_refuses_the_token(claims: dict[str, Any]) -> None:
    with pytest.raises(Unfit):
        shared().find(signed(**claims))


def test_a_token_ends_and_clocks_may_differ_a_little() -> None:
    issuer = Issuer()
    tokens, token = issuer.tokens(secret=Secret(SECRET), leeway=5.0), signed()
    for issuer.now in (NOW, NOW + 64.9):
        assert tokens.find(token).name == "jwt:ann"
    issuer.now = NOW + 65
    for _ in range(2):
        with pytest.raises(Unfit, match="expired"):
            tokens.find(token)
    with pytest.raises(Unfit, match="not valid yet"):
        tokens.find(signed(nbf=NOW + 100, exp=NOW + 200))


@pytest.mark.parametrize(
    ("issuer", "audience", "claims", "right"),
    [
        ("us", None, {"iss": "us"}, True),
        ("us", None, {"iss": "them"}, False),
        ("us", None, {}, False),
        (None, "here", {"aud": "here"}, True),
        (None, "here, there", {"aud": ["elsewhere", "there"]}, True),
        (None, "here", {"aud": "elsewhere"}, False),
        (None, "here", {}, False),
    ],
)
def test_a_token_is_of_its_issuer_and_for_us(
    issuer: str | None, audience: str | None, claims: dict[str, Any], right: bool
) -> None:
    tokens = shared(issuer=issuer, audience=audience)
    if right:
        assert tokens.find(signed(**claims)).name == "jwt:ann"
    else:
        with pytest.raises(Unfit):
            tokens.find(signed(**claims))


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def by_hand(head: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token that no library would make."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return ".".join([part(json.dumps(head).encode()), part(json.dumps(claims).encode()), part(signature)])


CLAIMS = {"sub": "ann", "aud": "steelyard", "exp": int(NOW) + 60}


@pytest.mark.parametrize(
    "head", [{"alg": "none"}, {"alg": "None"}, {"alg": ""}, {}, {"alg": None}, {"alg": ["RS256"]}], ids=str
)
async def test_none_is_no_algorithm(head: dict[str, Any]) -> None:
    for tokens in (shared(audience="steelyard"), await Issuer(public(RSA)).published()):
        with pytest.raises(Unauthorized):
            tokens.find(by_hand(head, CLAIMS))


async def test_a_public_key_is_never_taken_for_a_secret() -> None:
    issuer = Issuer(public(RSA, "one"))
    tokens = await issuer.published()
    digest = jwt.get_algorithm_by_name("HS256")
    for secret in (pem(RSA), pem(RSA).strip(), json.dumps(issuer.keys[0]).encode()):
        for kid in ("one", None):
            head = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
            unsigned = by_hand(head, CLAIMS).rpartition(".")[0]
            forged = by_hand(head, CLAIMS, digest.sign(unsigned.encode(), secret))
            with pytest.raises(Unauthorized):
                tokens.find(forged)


async def test_a_secret_that_is_published_is_no_secret() -> None:
    published = {"kty": "oct", "kid": "shared", "k": base64.urlsafe_b64encode(SECRET.encode()).decode()}
    tokens = await Issuer(published, public(RSA, "one")).published()
    with pytest.raises(Unauthorized):
        tokens.find(signed(kid="shared", aud="steelyard"))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "RS384"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_a_published_key_verifies_what_its_type_can_sign(key: Any, algorithm: str) -> None:
    tokens = await Issuer(public(key, "one"), public(OTHER_RSA, "two")).published()
    assert tokens.find(signed(key, algorithm, "one", aud="steelyard")).name == "jwt:ann"
    for kid in ("two", "three", None):
        with pytest.raises(Unauthorized):
            tokens.find(signed(key, algorithm, kid, aud="steelyard", sub=f"of {kid}"))


async def test_the_only_key_needs_no_name() -> None:
    tokens = await Issuer(public(RSA, "one")).published()
    assert tokens.find(signed(RSA, "RS256", aud="steelyard")).name == "jwt:ann"


async def test_a_key_that_says_its_algorithm_verifies_no_other() -> None:
    tokens = await Issuer(public(RSA, "one", alg="RS512")).published()
    assert tokens.find(signed(RSA, "RS512", "one", aud="steelyard")).name == "jwt:ann"
    with pytest.raises(Unauthorized):
        tokens.find(signed(RSA, "RS256", "one", aud="steelyard"))


def test_keys_that_cannot_verify_are_left_out() -> None:
    short = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    entries: list[Any] = [
        public(RSA, "good"),
        public(short, "short"),
        public(EC, "encrypts", use="enc"),
        public(EC, "confused", alg="RS256"),
        {"kty": "EC", "kid": "no point", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "unknown", "kid": "strange"},
        "rubbish",
    ]
    assert list(verifiers_of(msgspec.json.encode({"keys": entries}))) == ["good"]


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 7}', b'{"keys": []}', b"\xff", b'{"keys": [{}]}'])
def test_what_is_no_set_of_keys_is_told(document: bytes) -> None:
    with pytest.raises(ValueError, match="keys"):
        verifiers_of(document)


async def test_an_unknown_key_has_them_read_again_but_not_at_every_token() -> None:
    issuer = Issuer(public(RSA, "old"))
    tokens = await issuer.published()
    issuer.keys.append(public(OTHER_RSA, "new"))
    token = signed(OTHER_RSA, "RS256", "new", aud="steelyard")
    await tokens.ready(token)
    assert issuer.reads == 1  # it was just read
    issuer.monotonic += 11
    await tokens.ready(token)
    assert tokens.find(token).name == "jwt:ann"
    for number in range(20):
        await tokens.ready(signed(RSA, "RS256", f"made up {number}", aud="steelyard"))
    assert issuer.reads == 2


async def test_a_known_key_has_nothing_read() -> None:
    issuer = Issuer(public(RSA, "one"))
    tokens = await issuer.published()
    issuer.monotonic += 1_000
    for token in (signed(RSA, "RS256", "one", aud="steelyard"), signed(), "eyJ.x.y", "eyJé.x.y"):
        await tokens.ready(token)
    assert issuer.reads == 1


async def test_a_key_that_is_published_no_more_verifies_nothing_it_had_verified() -> None:
    issuer = Issuer(public(RSA, "old"))
    tokens = await issuer.published()
    token = signed(RSA, "RS256", "old", aud="steelyard")
    tokens.find(token)
    issuer.keys = [public(OTHER_RSA, "new")]
    issuer.monotonic += 11
    await tokens.published.again()
    with pytest.raises(Unauthorized):
        tokens.find(token)


async def test_a_key_that_is_another_one_by_the_same_name_verifies_nothing_that_the_former_had() -> None:
    for kid in ("one", None):
        issuer = Issuer(public(RSA, kid))
        tokens = await issuer.published()
        token = signed(RSA, "RS256", kid, aud="steelyard")
        assert tokens.find(token).name == "jwt:ann"
        issuer.keys = [public(OTHER_RSA, kid)]
        issuer.monotonic += 60
        await tokens.published.again()
        with pytest.raises(Unauthorized):
            tokens.find(token)


async def test_a_publisher_whom_nobody_can_read_is_told_of_once_from_the_first_time_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = Issuer(public(RSA))
    tokens = issuer.tokens(jwks="https://issuer.example/keys", audience="steelyard")
    told: list[int] = []
    for problem in (OSError("away"), OSError("away"), None, OSError("away again")):
        issuer.problem = problem
        await tokens.published.again()
        issuer.monotonic += 60
        told.append(len(caplog.records))
    assert told == [1, 1, 1, 2]


async def test_a_publisher_who_is_away_leaves_known_keys_in_force_and_is_not_the_callers_fault() -> None:
    issuer = Issuer(public(RSA, "one"))
    tokens = await issuer.published()
    issuer.problem, issuer.monotonic = OSError("away"), 100.0
    await tokens.published.again()
    assert tokens.find(signed(RSA, "RS256", "one", aud="steelyard")).name == "jwt:ann"
    with pytest.raises(Busy):
        tokens.find(signed(OTHER_RSA, "RS256", "new", aud="steelyard"))
    issuer.problem = None
    issuer.monotonic += 11
    await tokens.published.again()
    with pytest.raises(Unauthorized):
        tokens.find(signed(OTHER_RSA, "RS256", "new", aud="steelyard"))


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.governance.tokens._REMEMBERED", 3)
    tokens = shared()
    for number in range(10):
        tokens.find(signed(sub=f"caller {number}"))
    assert len(tokens._known) == 3


def entrance(tokens: Tokens, most: int = 2) -> Entrance:
    keys = Principals(
        [(Principal("ann"), "key-of-ann")], None, open_to_all=False, salt=b"x" * 16, wall=lambda: 0.0, tokens=True
    )
    return Entrance(keys, tokens, Guesses(most, monotonic=lambda: 0.0, counted=lambda how: None))


def test_keys_and_tokens_live_side_by_side() -> None:
    door = entrance(shared())
    assert door.find("key-of-ann", "").name == "ann"
    assert door.find(signed(), "").name == "jwt:ann"


def test_an_expired_token_is_no_guess_and_a_forged_one_is() -> None:
    door = entrance(shared())
    for _ in range(5):
        with pytest.raises(Unfit):
            door.find(signed(exp=int(NOW) - 1_000), "10.0.0.1")
    forged: Callable[[], str] = lambda: signed(key="another secret of 32 bytes at least, or so")  # noqa: E731
    for _ in range(2):
        with pytest.raises(Unauthorized):
            door.find(forged(), "10.0.0.1")
    with pytest.raises(TooManyWrongKeys):
        door.find(forged(), "10.0.0.1")


def test_tokens_alone_close_the_gateway_to_others() -> None:
    closed = Principals([], None, open_to_all=False, salt=b"x" * 16, wall=lambda: 0.0, tokens=True)
    for key in (None, "any"):
        with pytest.raises(Unauthorized):
            closed.find(key)
    open_to_all = Principals([], None, open_to_all=True, salt=b"x" * 16, wall=lambda: 0.0, tokens=True)
    assert not open_to_all.find(None).admin


def test_work_that_goes_on_without_its_caller_is_of_whoever_said_no_more_than_a_name() -> None:
    tokens = shared()
    require_lasting(tokens.find(signed()), "An execution")
    saying: list[dict[str, Any]] = [{"tags": "a"}, {"models": "sim-chat"}, {"models": []}]
    for claims in saying:
        with pytest.raises(Forbidden, match="Use a key"):
            require_lasting(tokens.find(signed(**claims)), "An execution")
    for tags, taken in ((("a",), True), ((), False)):
        require_lasting(Principal("ann", tags=tags, models=("sim-chat",)), "An execution")
        known = Principals([], "key", open_to_all=False, salt=b"x" * 16, wall=lambda: NOW, tokens=taken)
        assert known.named("jwt:ann") == (Principal("jwt:ann") if taken else None)


TOKEN = signed()


@given(st.integers(0, len(TOKEN) - 1), st.characters(max_codepoint=255))
def test_a_token_with_any_character_changed_is_refused_or_the_same(place: int, character: str) -> None:
    changed = TOKEN[:place] + character + TOKEN[place + 1 :]
    tokens = shared()
    try:
        assert tokens.find(changed).name == "jwt:ann"
    except Unauthorized:
        return
    # Base64's last character has bits that say nothing; the library refuses those, too.
    assert changed == TOKEN


@given(st.text(max_size=80))
def test_no_text_is_a_defect(text: str) -> None:
    door = entrance(shared(), most=0)
    for key in (text, f"eyJ{text}.{text}.{text}", f"eyJhbGciOiJIUzI1NiJ9.{text}.{text}"):
        with pytest.raises(Unauthorized):
            door.find(key, "")


def test_what_looks_like_a_token() -> None:
    assert is_token(signed())
    for key in ("sk-sy-abc", "eyJ", "a.b.c", "eyJa.b", "eyJa.b.c.d", ""):
        assert not is_token(key)
