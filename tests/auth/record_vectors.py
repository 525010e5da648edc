"""Records tokens made by PyJWT and links made by Django's Signer, for src/auth and tests/auth.

    python3 -m venv target/venv && target/venv/bin/pip install -r tests/auth/requirements.txt
    target/venv/bin/python tests/auth/record_vectors.py
    target/venv/bin/pip install django==4.2.30 && target/venv/bin/python tests/auth/record_vectors.py --links

Writes vectors.json beside itself. The keys are made anew by each run and thrown away with it; only their public halves
are written. `--links` adds the links of another version of Django to a file that is there.
"""

import base64
import hmac
import json
import pathlib
import sys

import django
import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.conf import settings
from django.core.signing import Signer

FILE = pathlib.Path(__file__).with_name("vectors.json")
SECRET = "0123456789abcdef0123456789abcdef0123456789"
OTHER = "another-secret-another-secret-another-secret"
LINK_KEY = "django-insecure-#k3y!with%odd&characters=(and)$length"
NOW = 1_900_000_000
FAR = 4_102_444_800  # 2100
ISSUER = "https://login.example.com"
AUDIENCE = "supportal"


def part(value):
    raw = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header, claims, secret=SECRET, hash="sha256"):
    """A token that PyJWT would refuse to make."""
    message = f"{part(header)}.{part(claims)}"
    return message + "." + part(hmac.new(secret.encode() if isinstance(secret, str) else secret, message.encode(), hash).digest())


def claims(**more):
    base = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "role": "agent", "business_id": "1", "session_id": "abc", "exp": FAR}
    base.update(more)
    return {name: value for name, value in base.items() if value is not None}


def links():
    signer = Signer(key=LINK_KEY, salt="supportal.link")
    values = ["1:session-123:customer:%d" % FAR, "1:*:agent:%d" % FAR, "42:abc*:backend:%d" % FAR]
    return {"version": django.__version__, "links": [signer.sign(value) for value in values]}


def public(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def tokens():
    keys = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "p256": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    named = {"rsa": rsa.generate_private_key(65537, 2048), "p256": ec.generate_private_key(ec.SECP256R1())}
    algorithms = {"rsa": "RS256", "p256": "ES256", "ed25519": "EdDSA"}
    stranger = rsa.generate_private_key(65537, 2048)
    p384 = ec.generate_private_key(ec.SECP384R1())

    def hs(payload, **header):
        return jwt.encode(payload, SECRET, algorithm="HS256", headers=header or None)

    def jwk(key, kid, algorithm):
        kind = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}[algorithm]
        return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": algorithm, "use": "sig"}

    good = [
        ("hs256", hs(claims()), "ann agent 1/abc"),
        ("hs256 with kid", hs(claims(), kid="whatever"), "ann agent 1/abc"),
        ("no typ", by_hand({"alg": "HS256"}, claims()), "ann agent 1/abc"),
        ("an access token's typ", hs(claims(), typ="at+jwt"), "ann agent 1/abc"),
        ("a long typ", hs(claims(), typ="application/jwt"), "ann agent 1/abc"),
        ("no role", hs(claims(role=None)), "ann customer 1/abc"),
        ("no name", hs(claims(sub=None)), "- agent 1/abc"),
        ("backend", hs(claims(role="backend")), "ann backend 1/abc"),
        ("numbers", hs(claims(business_id=1)), "ann agent 1/abc"),
        ("lists", hs(claims(business_id=[1, "2"], session_id=["a", "b*"])), "ann agent 1/a 1/b* 2/a 2/b*"),
        ("every session", hs(claims(session_id="*")), "ann agent 1/*"),
        ("every room", hs(claims(business_id="*", session_id="*")), "ann agent any"),
        ("no session", hs(claims(session_id=None)), "ann agent none"),
        ("no business", hs(claims(business_id=None)), "ann agent none"),
        ("no rooms", hs(claims(business_id=None, session_id=None)), "ann agent none"),
        ("several audiences", hs(claims(aud=["site", AUDIENCE])), "ann agent 1/abc"),
        ("a fraction of a second", hs(claims(exp=FAR + 0.5)), "ann agent 1/abc"),
        ("not before the past", hs(claims(nbf=NOW - 10, iat=NOW - 10)), "ann agent 1/abc"),
        ("within the leeway", hs(claims(nbf=NOW + 4, iat=NOW + 4)), "ann agent 1/abc"),
        ("expired within the leeway", hs(claims(exp=NOW - 3)), "ann agent 1/abc"),
        ("other claims", hs(claims(name="Ann", groups=["a"], nested={"a": {"a": 1}})), "ann agent 1/abc"),
        ("a name beyond ASCII", hs(claims(sub="J\u00f6rg \u4e2d")), "J\u00f6rg \u4e2d agent 1/abc"),
    ]
    good += [(f"{algorithms[name]} of a file", jwt.encode(claims(), key, algorithm=algorithms[name]), "ann agent 1/abc") for name, key in keys.items()]
    good += [
        (f"{algorithms[name]} of the set", jwt.encode(claims(), key, algorithm=algorithms[name], headers={"kid": f"{name}-1"}), "ann agent 1/abc")
        for name, key in named.items()
    ]

    valid = hs(claims())
    head, body, signature = valid.split(".")
    rs = jwt.encode(claims(), keys["rsa"], algorithm="RS256")
    es = jwt.encode(claims(), keys["p256"], algorithm="ES256")
    ed = jwt.encode(claims(), keys["ed25519"], algorithm="EdDSA")
    rsa_pem = public(keys["rsa"])

    def cut(token):
        return token.rsplit(".", 1)[0] + "."

    def alg(name, secret=SECRET):
        return by_hand({"alg": name, "typ": "JWT"}, claims(), secret)

    bad = [
        # Form.
        ("empty", "", "form"),
        ("a word", "token", "form"),
        ("one dot", f"{head}.{body}", "form"),
        ("two dots alone", "..", "form"),
        ("four parts", f"{valid}.{signature}", "form"),
        ("five parts, as JWE has", f"{head}.{body}.{body}.{body}.{signature}", "form"),
        ("no header", f".{body}.{signature}", "form"),
        ("no claims", f"{head}..{signature}", "form"),
        ("no signature", f"{head}.{body}.", "form"),
        ("padding", f"{head}.{body}.{signature}=", "form"),
        ("ordinary base64", f"{head}.{body}.{signature[:-2]}+/", "form"),
        ("a space inside", f"{head}.{body} .{signature}", "signature"),
        ("a byte beyond ASCII", f"{head}.{body}.{signature}\u00e9", "form"),
        ("stray bits at the end", f"{head}.{body}." + signature[:-1] + chr(ord(signature[-1]) + 1), "form"),
        ("longer than may be", f"{head}.{'A' * 5000}.{signature}", "too_long"),
        ("a megabyte", "A" * 1_000_000, "too_long"),
        ("a signature longer than any", f"{head}.{body}.{'A' * 2000}", "form"),
        # Header.
        ("a header that is no JSON", by_hand("alg", claims()), "header"),
        ("a header that is a list", by_hand(["alg"], claims()), "header"),
        ("a header that is null", by_hand("null", claims()), "header"),
        ("a header of nothing", by_hand({}, claims()), "algorithm"),
        ("alg twice", by_hand('{"alg":"none","alg":"HS256"}', claims()), "header"),
        ("alg twice, once escaped", by_hand('{"alg":"HS256","\\u0061lg":"HS256"}', claims()), "header"),
        ("kid twice", by_hand('{"alg":"HS256","kid":"a","kid":"b"}', claims()), "header"),
        ("text after the header", by_hand('{"alg":"HS256"} {}', claims()), "header"),
        ("a header of many members", by_hand({"alg": "HS256", **{str(n): n for n in range(40)}}, claims()), "header"),
        # Algorithm.
        ("alg none", cut(jwt.encode(claims(), None, algorithm="none")) + "AA", "algorithm"),
        ("alg none without a signature", jwt.encode(claims(), None, algorithm="none"), "algorithm"),
        ("alg None", alg("None"), "algorithm"),
        ("alg nOnE", alg("nOnE"), "algorithm"),
        ("alg of spaces", alg("HS256 "), "algorithm"),
        ("alg in small letters", alg("hs256"), "algorithm"),
        ("alg empty", alg(""), "algorithm"),
        ("alg a number", alg(256), "algorithm"),
        ("alg null", alg(None), "algorithm"),
        ("alg a list", alg(["HS256"]), "algorithm"),
        ("an algorithm that is not here", jwt.encode(claims(), stranger, algorithm="PS256"), "algorithm"),
        ("RS512", jwt.encode(claims(), keys["rsa"], algorithm="RS512"), "algorithm"),
        ("ES384", jwt.encode(claims(), p384, algorithm="ES384"), "algorithm"),
        ("another HMAC than the secret's", jwt.encode(claims(), SECRET * 2, algorithm="HS512"), "no_key"),
        ("HS256 by the RSA key's PEM", by_hand({"alg": "HS256", "typ": "JWT"}, claims(), rsa_pem), "signature"),
        ("HS256 by the RSA key's PEM, trimmed", by_hand({"alg": "HS256", "typ": "JWT"}, claims(), rsa_pem.strip()), "signature"),
        ("HS256 by the RSA key's DER", by_hand({"alg": "HS256"}, claims(), keys["rsa"].public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)), "signature"),
        ("HS256 by nothing", by_hand({"alg": "HS256"}, claims(), ""), "signature"),
        ("a token of RS256 called HS256", part({"alg": "HS256"}) + "." + rs.split(".", 1)[1], "signature"),
        ("a token of HS256 called RS256", part({"alg": "RS256"}) + "." + valid.split(".", 1)[1], "signature"),
        ("a token of ES256 called EdDSA", part({"alg": "EdDSA"}) + "." + es.split(".", 1)[1], "signature"),
        # What no token may ask for.
        ("crit", hs(claims(), crit=["exp"]), "extension"),
        ("crit of nothing", hs(claims(), crit=[]), "extension"),
        ("b64", by_hand({"alg": "HS256", "b64": False}, claims()), "extension"),
        ("zip", by_hand({"alg": "HS256", "zip": "DEF"}, claims()), "extension"),
        ("enc", by_hand({"alg": "HS256", "enc": "A128GCM"}, claims()), "extension"),
        ("a token inside a token", by_hand({"alg": "HS256", "cty": "JWT"}, valid), "extension"),
        ("a token as the claims", by_hand({"alg": "HS256"}, valid), "claims"),
        ("jku", hs(claims(), jku="https://evil.example/jwks.json"), "own_key"),
        ("jku of this machine", hs(claims(), jku="http://127.0.0.1:9000/"), "own_key"),
        ("x5u", hs(claims(), x5u="https://evil.example/cert.pem"), "own_key"),
        ("x5c", hs(claims(), x5c=["MII"]), "own_key"),
        ("jwk", jwt.encode(claims(), stranger, algorithm="RS256", headers={"jwk": jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public_key(), as_dict=True)}), "own_key"),
        ("a logout token's typ", hs(claims(), typ="logout+jwt"), "type"),
        ("typ a number", by_hand({"alg": "HS256", "typ": 1}, claims()), "type"),
        # kid.
        ("kid a path", by_hand({"alg": "HS256", "kid": "../../../../dev/null"}, claims(), ""), "signature"),
        ("kid a statement", by_hand({"alg": "HS256", "kid": "' UNION SELECT 'x'; --"}, claims(), "x"), "signature"),
        ("kid a command", jwt.encode(claims(), OTHER, algorithm="HS256", headers={"kid": "|sleep 5"}), "signature"),
        ("kid an address", jwt.encode(claims(), stranger, algorithm="RS256", headers={"kid": "http://127.0.0.1/key"}), "signature"),
        ("kid of another key", jwt.encode(claims(), keys["rsa"], algorithm="RS256", headers={"kid": "rsa-1"}), "signature"),
        ("kid a number", by_hand({"alg": "HS256", "kid": 1}, claims()), "key_id"),
        ("kid long", hs(claims(), kid="k" * 300), "key_id"),
        # Signature.
        ("another secret", jwt.encode(claims(), OTHER, algorithm="HS256"), "signature"),
        ("other claims than signed", f"{head}.{part(claims(role='backend'))}.{signature}", "signature"),
        ("another header than signed", f"{part({'typ': 'JWT', 'alg': 'HS256'})}.{body}.{signature}", "signature"),
        ("a signature cut short", f"{head}.{body}.{signature[:-3]}", "signature"),
        ("half of a signature", f"{head}.{body}.{part(b'x' * 16)}", "signature"),
        ("a stranger's RSA", jwt.encode(claims(), stranger, algorithm="RS256"), "signature"),
        ("a stranger's P-256", jwt.encode(claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"), "signature"),
        ("a stranger's Ed25519", jwt.encode(claims(), ed25519.Ed25519PrivateKey.generate(), algorithm="EdDSA"), "signature"),
        ("ES256 of zeros", cut(es) + part(bytes(64)), "signature"),
        ("EdDSA of zeros", cut(ed) + part(bytes(64)), "signature"),
        ("RS256 of zeros", cut(rs) + part(bytes(256)), "signature"),
        ("ES256 in DER", cut(es) + part(keys["p256"].sign(cut(es)[:-1].encode(), ec.ECDSA(hashes.SHA256()))), "signature"),
        # Claims.
        ("claims that are no JSON", by_hand({"alg": "HS256"}, "exp"), "claims"),
        ("claims that are a list", by_hand({"alg": "HS256"}, [1]), "claims"),
        ("claims twice", by_hand({"alg": "HS256"}, json.dumps(claims())[:-1] + ',"role":"backend"}'), "claims"),
        ("exp twice", by_hand({"alg": "HS256"}, '{"exp":1,"exp":%d}' % FAR), "claims"),
        ("a claim that nobody reads twice", by_hand({"alg": "HS256"}, '{"x":1,"x":2,"exp":%d}' % FAR), "claims"),
        ("deeply nested claims", by_hand({"alg": "HS256"}, '{"sub":' + "[" * 1000 + "]" * 1000 + "}"), "claims"),
        ("many claims", hs(claims(**{f"c{n}": n for n in range(70)})), "claims"),
        ("claims in UTF-16", by_hand({"alg": "HS256"}, json.dumps(claims()).encode("utf-16")), "claims"),
        # Time.
        ("no exp", hs(claims(exp=None)), "expiry"),
        ("exp null", by_hand({"alg": "HS256"}, {**claims(), "exp": None}), "expiry"),
        ("exp a text", by_hand({"alg": "HS256"}, claims(exp=str(FAR))), "expiry"),
        ("exp a list", by_hand({"alg": "HS256"}, claims(exp=[FAR])), "expiry"),
        ("exp below zero", by_hand({"alg": "HS256"}, claims(exp=-1)), "expiry"),
        ("exp in milliseconds", by_hand({"alg": "HS256"}, claims(exp=FAR * 1000)), "expiry"),
        ("exp without end", by_hand({"alg": "HS256"}, json.dumps(claims()).replace(str(FAR), "1e400")), "claims"),
        ("expired", hs(claims(exp=1_500_000_000)), "expired"),
        ("expired in 1970", hs(claims(exp=0)), "expired"),
        ("not yet valid", hs(claims(nbf=FAR - 5)), "not_yet"),
        ("nbf a text", by_hand({"alg": "HS256"}, claims(nbf="0")), "not_yet"),
        ("issued in the future", hs(claims(iat=FAR - 5)), "issued"),
        # Parties.
        ("another issuer", hs(claims(iss="https://evil.example")), "issuer"),
        ("an issuer that begins like ours", hs(claims(iss=ISSUER + ".evil.example")), "issuer"),
        ("no issuer", hs(claims(iss=None)), "issuer"),
        ("issuers", by_hand({"alg": "HS256"}, claims(iss=[ISSUER])), "issuer"),
        ("another audience", hs(claims(aud="site")), "audience"),
        ("other audiences", hs(claims(aud=["site", "supportal2"])), "audience"),
        ("no audience", hs(claims(aud=None)), "audience"),
        ("an audience in an object", by_hand({"alg": "HS256"}, claims(aud={"supportal": 1})), "audience"),
        # Who, and where.
        ("sub a number", by_hand({"alg": "HS256"}, claims(sub=7)), "subject"),
        ("sub empty", hs(claims(sub="")), "subject"),
        ("sub long", hs(claims(sub="a" * 256)), "subject"),
        ("sub with a line break", hs(claims(sub="ann\nrole=admin")), "subject"),
        ("an unknown role", hs(claims(role="admin")), "role"),
        ("a role in capitals", hs(claims(role="Agent")), "role"),
        ("roles", hs(claims(role=["agent"])), "role"),
        ("a business that is none", hs(claims(business_id="01")), "rooms"),
        ("a business of letters", hs(claims(business_id="acme")), "rooms"),
        ("a business below zero", hs(claims(business_id=-1)), "rooms"),
        ("a business in parts", hs(claims(business_id=1.5)), "rooms"),
        ("a beginning of businesses", hs(claims(business_id="1*")), "rooms"),
        ("a session with a slash", hs(claims(session_id="a/b")), "rooms"),
        ("a session with a star inside", hs(claims(session_id="a*b")), "rooms"),
        ("a session that is a number", hs(claims(session_id=True)), "rooms"),
        ("a session in an object", hs(claims(session_id={"id": "abc"})), "rooms"),
        ("rooms without end", hs(claims(session_id=[f"s{n}" for n in range(40)])), "rooms"),
    ]
    return {
        "made_by": f"PyJWT {jwt.__version__}",
        "now": NOW,
        "secret": SECRET,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "keys": {name: public(key) for name, key in keys.items()},
        "jwks": {"keys": [jwk(key, f"{name}-1", algorithms[name]) for name, key in named.items()]},
        "good": [{"name": name, "token": token, "identity": identity} for name, token, identity in good],
        "bad": [{"name": name, "token": token if len(token) < 100_000 else "A*1000000", "cause": cause} for name, token, cause in bad],
        "link_key": LINK_KEY,
        "links": [links()],
    }


def main():
    settings.configure(SECRET_KEY="unused")
    if "--links" in sys.argv:
        vectors = json.loads(FILE.read_text())
        versions = [entry for entry in vectors["links"] if entry["version"] != django.__version__]
        vectors["links"] = versions + [links()]
    else:
        vectors = tokens()
    FILE.write_text(json.dumps(vectors, indent=1) + "\n")


main()
