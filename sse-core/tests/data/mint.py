"""Keys and tokens for the table tests, made by PyJWT and cryptography: python mint.py > tokens.json

Every token stands next to what the library must answer to it. `now` is the time at which that is true.
"""

import base64
import hashlib
import hmac
import json
import sys

try:
    import jwt
    from cryptography.hazmat.primitives import serialization as ser
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm
except ImportError as missing:
    print(f"{missing}: pip install pyjwt cryptography", file=sys.stderr)
    sys.exit(77)

NOW = 1_900_000_000
SECRET = "0123456789abcdef0123456789abcdef"
LONG_SECRET = SECRET * 2


def public_pem(key):
    spki = ser.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(ser.Encoding.PEM, spki).decode()


rsa_key = rsa.generate_private_key(65537, 2048)
other_rsa_key = rsa.generate_private_key(65537, 2048)
small_rsa_key = rsa.generate_private_key(65537, 1024)
p256_key = ec.generate_private_key(ec.SECP256R1())
p384_key = ec.generate_private_key(ec.SECP384R1())
k1_key = ec.generate_private_key(ec.SECP256K1())
ed_key = ed25519.Ed25519PrivateKey.generate()
ed448_key = ed448.Ed448PrivateKey.generate()

pem = {
    "rsa": public_pem(rsa_key),
    "rsa_1024": public_pem(small_rsa_key),
    "rsa_private": rsa_key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()
    ).decode(),
    "rsa_pkcs1": rsa_key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.PKCS1).decode(),
    "p256": public_pem(p256_key),
    "p384": public_pem(p384_key),
    "k1": public_pem(k1_key),
    "ed25519": public_pem(ed_key),
}


def jwk(algorithm, key, **extra):
    return json.loads(algorithm.to_jwk(key.public_key())) | {"key_ops": ["verify"]} | extra


def plain(entry):
    return {name: value for name, value in entry.items() if name != "key_ops"}


RS, PS = RSAAlgorithm(RSAAlgorithm.SHA256), RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256)
ES, ED = ECAlgorithm(ECAlgorithm.SHA256), OKPAlgorithm()
HS = HMACAlgorithm(HMACAlgorithm.SHA256)
raw_public = (ser.Encoding.Raw, ser.PublicFormat.Raw)
ed448_x = base64.urlsafe_b64encode(ed448_key.public_key().public_bytes(*raw_public)).decode().rstrip("=")
oct_key = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")}

sets = {
    "mixed": [
        jwk(RS, rsa_key, kid="r"),
        jwk(ES, p256_key, kid="e"),
        jwk(ED, ed_key, kid="o", use="sig"),
        {"kty": "unheard-of", "kid": "u"},
    ],
    "secret": [oct_key | {"kid": "h"}],
    "partner": [jwk(RS, other_rsa_key, kid="partner")],
    "two_rsa": [jwk(RS, rsa_key, kid="a"), jwk(RS, other_rsa_key, kid="b")],
    "enc_only": [plain(jwk(RS, rsa_key, kid="r")) | {"use": "enc"}],
    "sign_only": [jwk(RS, rsa_key, kid="r") | {"key_ops": ["sign"]}],
    "small": [jwk(RS, small_rsa_key, kid="r")],
    "bound_to_ps256": [jwk(RS, rsa_key, kid="r", alg="PS256")],
    "bound_and_other": [jwk(RS, rsa_key, kid="r", alg="PS256"), jwk(RS, other_rsa_key, kid="q")],
    "bound_to_nonsense": [jwk(RS, rsa_key, kid="r", alg="RSA-OAEP")],
    "duplicate": [jwk(RS, rsa_key, kid="r"), jwk(RS, other_rsa_key, kid="r")],
    "short_oct": [{"kty": "oct", "kid": "h", "k": "c2hvcnQ"}],
    "exponent_3": [jwk(RS, rsa_key, kid="r") | {"e": "Aw"}],
    "short_ed": [{"kty": "OKP", "crv": "Ed25519", "kid": "o", "x": "AAAA"}],
    "wrong_curve": [jwk(ES, p256_key, kid="e") | {"crv": "P-384"}],
    "ed_by_its_new_name": [jwk(ED, ed_key, kid="o", alg="Ed25519")],
    "ed_by_its_old_name": [jwk(ED, ed_key, kid="o", alg="EdDSA")],
    "ed_with_another_curve": [jwk(ED, ed_key, kid="o", alg="Ed448")],
    "ed448": [{"kty": "OKP", "crv": "Ed448", "kid": "o", "alg": "Ed448", "x": ed448_x}],
    "empty": [],
}
sets["with_secret"] = sets["mixed"] + sets["secret"]
sets["twice_one_weak"] = sets["small"] + sets["mixed"][:1]


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(header, payload, sign):
    """A token of any header and payload, as text or as what becomes JSON."""
    text = lambda part: (part if isinstance(part, str) else json.dumps(part)).encode()
    message = f"{b64(text(header))}.{b64(text(payload))}"
    return f"{message}.{b64(sign(message.encode()))}"


def hs(secret=SECRET):
    return lambda message: hmac.new(secret.encode(), message, hashlib.sha256).digest()


GOOD = {"sub": "ada", "iss": "sse-example", "aud": "sse-example", "exp": NOW + 900, "iat": NOW - 10, "topics": ["news", "user/ada"]}
cases = []


def case(name, token, expect, keys="secret", algorithms=("HS256",), **options):
    cases.append(dict(name=name, token=token, expect=expect, keys=keys, algorithms=list(algorithms), **options))


def claims(name, expect, change=None, without=(), **options):
    payload = {key: value for key, value in (GOOD | (change or {})).items() if key not in without}
    case(name, raw({"alg": "HS256", "typ": "JWT"}, payload, hs()), expect, **options)


def header(name, expect, change, without=(), **options):
    whole = {key: value for key, value in ({"alg": "HS256", "typ": "JWT"} | change).items() if key not in without}
    case(name, raw(whole, GOOD, hs()), expect, **options)


# What is good, through PyJWT from end to end.
case("good HS256", jwt.encode(GOOD, SECRET, "HS256"), 200)
case("good HS384", jwt.encode(GOOD, LONG_SECRET, "HS384"), 200, "long_secret", ["HS384"])
case("good HS512", jwt.encode(GOOD, LONG_SECRET, "HS512"), 200, "long_secret", ["HS512"])
for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]:
    case(f"good {alg}", jwt.encode(GOOD, rsa_key, alg), 200, "pem:rsa", [alg])
case("good RS256, PKCS #1", jwt.encode(GOOD, rsa_key, "RS256"), 200, "pem:rsa_pkcs1", ["RS256"])
case("good ES256", jwt.encode(GOOD, p256_key, "ES256"), 200, "pem:p256", ["ES256"])
case("good ES384", jwt.encode(GOOD, p384_key, "ES384"), 200, "pem:p384", ["ES384"])
case("good EdDSA", jwt.encode(GOOD, ed_key, "EdDSA"), 200, "pem:ed25519", ["EdDSA"])
good_rs = jwt.encode(GOOD, rsa_key, "RS256")

# Algorithms.
for name in ["none", "NoNe", "NONE", ""]:
    case(f"alg {name!r}", raw({"alg": name}, GOOD, lambda _: b""), 401)
case("alg none, with the signature of HS256", raw({"alg": "none"}, GOOD, hs()), 401)
case("confusion: HS256 with the RSA public key", raw({"alg": "HS256"}, GOOD, hs(pem["rsa"])), 401, "pem:rsa", ["RS256"])
case("confusion, with HS256 on the list", raw({"alg": "HS256"}, GOOD, hs(pem["rsa"])), 401, "both:mixed", ["RS256", "HS256"])
case("HS384 not on the list", jwt.encode(GOOD, LONG_SECRET, "HS384"), 401, "long_secret", ["HS256"])
case("RS256 for a key of P-256", good_rs, 401, "set:mixed", ["ES256"])
case("ES256 token on an RSA key", jwt.encode(GOOD, p256_key, "ES256", headers={"kid": "r"}), 401, "set:mixed", ["RS256", "ES256"])
header("alg in lower case", 401, {"alg": "hs256"})
header("alg is a number", 401, {"alg": 256})
header("alg is missing", 401, {}, ["alg"])

# Signature and form.
case("another secret", jwt.encode(GOOD, "f" * 32, "HS256"), 401)
case("another RSA key", jwt.encode(GOOD, other_rsa_key, "RS256"), 401, "pem:rsa", ["RS256"])
good = jwt.encode(GOOD, SECRET, "HS256")
parts = good.split(".")
case("no signature", f"{parts[0]}.{parts[1]}.", 401)
case("two parts", f"{parts[0]}.{parts[1]}", 401)
case("four parts", f"{good}.{parts[2]}", 401)
case("five parts, as encrypted tokens have", f"{good}.a.b", 401)
case("signature cut", good[:-4], 401)
case("signature padded", good + "=", 401)
case("payload changed", f"{parts[0]}.{b64(json.dumps(GOOD | {'sub': 'eve'}).encode())}.{parts[2]}", 401)
case("not a token", "abc", 401)
case("dots", "...", 401)
case("payload is a list", raw({"alg": "HS256"}, [], hs()), 401)
case("payload is no JSON", raw({"alg": "HS256"}, "{", hs()), 401)
case("header is no JSON", raw("{", GOOD, hs()), 401)
case("header of 3 kB", raw({"alg": "HS256", "x": "x" * 3000}, GOOD, hs()), 401)

# Claims.
claims("exp is missing", 401, without=["exp"])
for name, value in [("text", str(NOW + 900)), ("negative", -1), ("1e300", 1e300), ("null", None), ("fraction", NOW + 900.5), ("list", [NOW + 900]), ("true", True)]:
    claims(f"exp is {name}", 200 if name == "fraction" else 401, {"exp": value})
case("exp twice", raw({"alg": "HS256"}, '{"exp":1,' + json.dumps(GOOD)[1:], hs()), 401)
claims("exp is the largest number", 401, {"exp": 2**64 - 1})
claims("expired a minute ago", 401, {"exp": NOW - 60})
claims("expired within the leeway, five seconds left", 200, {"exp": NOW - 25})
claims("expired within the leeway, four seconds left", 401, {"exp": NOW - 26})
claims("lives longer than allowed", 401, {"exp": NOW + 40 * 86400})
claims("nbf in the past", 200, {"nbf": NOW - 5})
claims("nbf within the leeway", 200, {"nbf": NOW + 30})
claims("nbf in the future", 401, {"nbf": NOW + 31})
for name, value in [("text", "x"), ("null", None), ("list", [1])]:
    claims(f"nbf is {name}", 401, {"nbf": value})
    claims(f"iat is {name}", 401, {"iat": value})
claims("iat in the future", 401, {"iat": NOW + 31})
claims("iat is missing", 200, without=["iat"])
claims("iss is missing", 401, without=["iss"])
for name, value in [("another", "other"), ("list", ["sse-example"]), ("number", 1), ("null", None), ("empty", ""), ("with a slash", "sse-example/")]:
    claims(f"iss is {name}", 401, {"iss": value})
claims("aud is missing", 401, without=["aud"])
for name, value in [("another", "other"), ("number", 1), ("null", None), ("mixed list", [1, "sse-example"]), ("empty list", []), ("object", {"sse-example": 1}), ("nested list", [["sse-example"]])]:
    claims(f"aud is {name}", 401, {"aud": value})
claims("aud is a list with us", 200, {"aud": ["other", "sse-example"]})
claims("sub is missing", 401, without=["sub"])
for name, value in [("number", 7), ("null", None), ("empty", ""), ("list", ["ada"])]:
    claims(f"sub is {name}", 401, {"sub": value})
claims("jti is a number", 401, {"jti": 7})
claims("any issuer: another", 200, {"iss": "other"}, any_issuer=True)
claims("any issuer: none", 200, without=["iss"], any_issuer=True)
claims("any issuer: a number", 401, {"iss": 1}, any_issuer=True)
claims("no audience: another", 200, {"aud": "other"}, no_audience=True)
claims("no audience: none", 200, without=["aud"], no_audience=True)
claims("no audience: a number", 401, {"aud": 1}, no_audience=True)

# Claims that may be left out where the verifier is told so, and yet not be anything else.
claims("optional sub: missing", 200, without=["sub"], optional_subject=True)
claims("optional sub: there", 200, optional_subject=True)
for name, value in [("number", 7), ("null", None), ("empty", ""), ("list", ["ada"]), ("object", {}), ("1,000 entries", [""] * 1_000)]:
    claims(f"optional sub: {name}", 401, {"sub": value}, optional_subject=True)
case("optional sub: twice", raw({"alg": "HS256"}, '{"sub":"eve",' + json.dumps(GOOD)[1:], hs()), 401, optional_subject=True)
claims("optional sub: exp is missing", 401, without=["exp"], optional_subject=True)
claims("optional exp: missing", 200, without=["exp"], optional_expiry=True)
claims("optional exp: there", 200, optional_expiry=True)
claims("optional exp: there and over", 401, {"exp": NOW - 60}, optional_expiry=True)
claims("optional exp: there and too far", 401, {"exp": NOW + 40 * 86400}, optional_expiry=True)
claims("optional exp: as far as never", 401, {"exp": 2**32 - 1}, optional_expiry=True)
for name, value in [("text", str(NOW + 900)), ("null", None), ("1e300", 1e300), ("negative", -1), ("list", []), ("false", False), ("zero", 0)]:
    claims(f"optional exp: {name}", 401, {"exp": value}, optional_expiry=True)
case("optional exp: twice", raw({"alg": "HS256"}, f'{{"exp":{NOW + 5},' + json.dumps(GOOD)[1:], hs()), 401, optional_expiry=True)
claims("optional exp: sub is missing", 401, without=["sub"], optional_expiry=True)
claims("optional exp: nbf in the future", 401, {"nbf": NOW + 31}, ["exp"], optional_expiry=True)
claims("optional exp: iat in the future", 401, {"iat": NOW + 31}, ["exp"], optional_expiry=True)

# Several names of one issuer, and of this server.
claims("several issuers: one of them", 200, {"iss": "b"}, issuers=["a", "b"])
for name, value in [("another", "c"), ("list of both", ["a", "b"]), ("empty", ""), ("both in one", "a b"), ("star", "*"), ("null", None)]:
    claims(f"several issuers: {name}", 401, {"iss": value}, issuers=["a", "b"])
claims("several issuers: none", 401, without=["iss"], issuers=["a", "b"])
for name, value in [("one of them", "b"), ("another and one of them", ["x", "b"]), ("both", ["a", "b"])]:
    claims(f"several audiences: {name}", 200, {"aud": value}, audiences=["a", "b"])
for name, value in [("another", "c"), ("empty list", []), ("nested list", [["a"]]), ("both in one", "a b"), ("star", "*"), ("null", None), ("1,000 others", ["x"] * 1_000)]:
    claims(f"several audiences: {name}", 401, {"aud": value}, audiences=["a", "b"])
claims("several audiences: none", 401, without=["aud"], audiences=["a", "b"])

# Lists of what the members of an object would be.
case("payload is an empty list, and nothing is needed", raw({"alg": "HS256"}, [], hs()), 401, optional_subject=True, optional_expiry=True, any_issuer=True, no_audience=True)
case("payload is a list of claims", raw({"alg": "HS256"}, [NOW + 900, NOW, NOW, "sse-example", "sse-example", "ada", "1", "1", None], hs()), 401)
case("header is a list", raw(["HS256"], GOOD, hs()), 401)

# Headers that ask for something.
header("crit", 401, {"crit": ["x"], "x": 1})
header("crit is null", 401, {"crit": None})
header("crit is empty", 401, {"crit": []})
header("b64 is false", 401, {"b64": False})
header("zip", 401, {"zip": "DEF"})
header("enc", 401, {"enc": "A256GCM"})
header("crit twice", 401, {"crit": ["exp"]})
header("typ is missing", 200, {}, ["typ"])
header("typ jwt", 200, {"typ": "jwt"})
header("typ at+jwt", 200, {"typ": "at+jwt"})
header("typ logout+jwt", 401, {"typ": "logout+jwt"})
header("typ dpop+jwt", 401, {"typ": "dpop+jwt"})
header("typ is a number", 401, {"typ": 1})
header("typ is null", 401, {"typ": None})

# The profile of RFC 9068.
AT = GOOD | {"client_id": "page", "jti": "1"}
at = lambda typ, payload=AT: raw({"alg": "HS256"} | ({"typ": typ} if typ else {}), payload, hs())
case("profile: at+jwt", at("at+jwt"), 200, profile=True)
case("profile: application/at+jwt", at("application/at+jwt"), 200, profile=True)
case("profile: AT+JWT", at("AT+JWT"), 200, profile=True)
case("profile: JWT", at("JWT"), 401, profile=True)
case("profile: no typ", at(None), 401, profile=True)
for name in ["client_id", "jti", "iat"]:
    case(f"profile: no {name}", at("at+jwt", {k: v for k, v in AT.items() if k != name}), 401, profile=True)

# Key ids.
kid = lambda value: jwt.encode(GOOD, rsa_key, "RS256", headers={"kid": value})
case("kid of the set", kid("r"), 200, "set:mixed", ["RS256"])
case("kid of another key of the set", kid("e"), 401, "set:mixed", ["RS256", "ES256"])
case("kid unknown", kid("x"), 401, "set:mixed", ["RS256"])
case("no kid, one key of that algorithm", good_rs, 200, "set:mixed", ["RS256"])
case("no kid, two keys of that algorithm", good_rs, 401, "set:two_rsa", ["RS256"])
case("kid picks one of two", kid("a"), 200, "set:two_rsa", ["RS256"])
case("kid picks the other of two", kid("b"), 401, "set:two_rsa", ["RS256"])
case("a single key without an id stands for any", kid("whatever"), 200, "pem:rsa", ["RS256"])
for name, value in [("10 kB", "x" * 10_000), ("line break", "r\r\nx: y"), ("path", "../../../etc/passwd"), ("URL", "https://127.0.0.1:1/keys"), ("SQL", "r' OR 1=1"), ("empty", ""), ("NUL", "r\0")]:
    expect = 400 if name == "10 kB" else 401
    case(f"kid is {name}", raw({"alg": "RS256", "kid": value}, GOOD, lambda m: RS.sign(m, rsa_key)), expect, "set:mixed", ["RS256"])
case("kid is a number", raw({"alg": "RS256", "kid": 1}, GOOD, lambda m: RS.sign(m, rsa_key)), 401, "set:mixed", ["RS256"])
case("kid is null", raw({"alg": "RS256", "kid": None}, GOOD, lambda m: RS.sign(m, rsa_key)), 401, "set:mixed", ["RS256"])
case("HS256 by the set's secret", raw({"alg": "HS256", "kid": "h"}, GOOD, hs()), 200, "set:secret", ["HS256"])
case("EdDSA by the set", raw({"alg": "EdDSA", "kid": "o"}, GOOD, lambda m: ED.sign(m, ed_key)), 200, "set:mixed", ["EdDSA"])
ed = lambda alg, **more: raw({"alg": alg} | more, GOOD, lambda m: ED.sign(m, ed_key))
for name in ["new", "old"]:
    for alg in ["EdDSA", "Ed25519"]:
        case(f"{alg} by a key of the {name} name", ed(alg, kid="o"), 200, f"set:ed_by_its_{name}_name", ["EdDSA"])
case("Ed25519 by a key without a name", ed("Ed25519"), 200, "pem:ed25519", ["EdDSA"])
case("Ed448 by name, Ed25519 by key", ed("Ed448"), 401, "pem:ed25519", ["EdDSA"])
for alg in ["Ed448", "EdDSA", "Ed25519"]:
    token = raw({"alg": alg, "kid": "o"}, GOOD, lambda m: ed448_key.sign(m))
    case(f"{alg}, signed by a key of Ed448", token, 401, "pem:ed25519", ["EdDSA"])
for alg in ["ed25519", "ED25519", "Ed25519 "]:
    case(f"alg {alg!r}", ed(alg), 401, "pem:ed25519", ["EdDSA"])
case("Ed25519, not on the list", ed("Ed25519", kid="o"), 401, "set:mixed", ["ES256"])
case("PS256 for a key that is bound to it", raw({"alg": "PS256", "kid": "r"}, GOOD, lambda m: PS.sign(m, rsa_key)), 200, "set:bound_to_ps256", ["PS256"])
case("RS256 for a key that is bound to PS256", kid("r"), 401, "set:bound_and_other", ["PS256", "RS256"])

# Keys in the token, and addresses of keys: the test listens there.
LISTENER = "127.0.49.152:49152"
url = f"http://{LISTENER}/keys"
foreign = {"jku": url, "x5u": url, "jwk": plain(jwk(RS, other_rsa_key)), "x5c": ["AAAA"]}
case("jku, x5u, jwk, x5c: another's key", raw({"alg": "RS256", "kid": "r"} | foreign, GOOD, lambda m: RS.sign(m, other_rsa_key)), 401, "set:mixed", ["RS256"])
case("jku, x5u, jwk, x5c: our key", raw({"alg": "RS256", "kid": "r"} | foreign, GOOD, lambda m: RS.sign(m, rsa_key)), 200, "set:mixed", ["RS256"])
case("jku of another's key under an unknown id", raw({"alg": "RS256", "kid": "x"} | foreign, GOOD, lambda m: RS.sign(m, other_rsa_key)), 401, "set:mixed", ["RS256"])

# Two issuers with keys of their own: the staff's of RSA, the partner's of RSA too, and a secret of a third. What is
# wrong with one is right with another.
STAFF, PARTNER, JOBS = "https://staff.example", "https://partner.example", "https://jobs.example"
by_issuer = []


def issued(name, expect, key, iss, alg="RS256", header=None, change=None, without=(), payload=None):
    whole = {k: v for k, v in (GOOD | {"iss": iss} | (change or {})).items() if k not in without}
    sign = hs(key) if alg == "HS256" else lambda message: RS.sign(message, key)
    token = raw({"alg": alg} | (header or {}), payload or whole, sign)
    by_issuer.append({"name": name, "token": token, "expect": expect, "issuer": iss})


issued("staff's own", 200, rsa_key, STAFF)
issued("partner's own", 200, other_rsa_key, PARTNER)
issued("partner's, naming the key", 200, other_rsa_key, PARTNER, header={"kid": "partner"})
issued("jobs' own, which never expires", 200, SECRET, JOBS, "HS256", change={"aud": "jobs"}, without=["exp"])
issued("mix-up: partner's key in the staff's name", 401, other_rsa_key, STAFF)
issued("mix-up: and naming partner's key", 401, other_rsa_key, STAFF, header={"kid": "partner"})
issued("mix-up: staff's key in partner's name", 401, rsa_key, PARTNER)
issued("mix-up: staff's key, naming partner's", 401, rsa_key, PARTNER, header={"kid": "partner"})
issued("staff's own, naming a key as partner does", 200, rsa_key, STAFF, header={"kid": "partner"})
issued("mix-up: jobs' secret in the staff's name", 401, SECRET, STAFF, "HS256")
issued("mix-up: the staff's public key as a secret", 401, pem["rsa"], STAFF, "HS256")
issued("mix-up: RSA in jobs' name", 401, rsa_key, JOBS, change={"aud": "jobs"})
issued("rules: staff's that never expires, as jobs' may", 401, rsa_key, STAFF, without=["exp"])
issued("rules: staff's for the audience of jobs", 401, rsa_key, STAFF, change={"aud": "jobs"})
issued("rules: jobs' for the audience of staff", 401, SECRET, JOBS, "HS256")
issued("rules: partner's without a subject", 401, other_rsa_key, PARTNER, without=["sub"])
for other in ["https://other.example", STAFF + "/", STAFF.upper(), "", "*", None, 1, [STAFF], {"iss": STAFF}]:
    issued(f"issuer {other!r}", 401, rsa_key, other)
issued("no issuer", 401, rsa_key, STAFF, without=["iss"])
both = lambda first, second: f'{{"iss":"{first}",' + json.dumps(GOOD | {"iss": second})[1:]
issued("two issuers, partner's key, staff last", 401, other_rsa_key, None, payload=both(PARTNER, STAFF))
issued("two issuers, partner's key, staff first", 401, other_rsa_key, None, payload=both(STAFF, PARTNER))
issued("the same issuer twice", 401, rsa_key, None, payload=both(STAFF, STAFF))
issued("issuer of another within", 401, other_rsa_key, PARTNER, change={"iss": {"iss": STAFF}})
issued("payload is a list with it", 401, rsa_key, STAFF, payload=f'["{STAFF}"]')

# Grants.
mercure = lambda subscribe: jwt.encode(GOOD | {"mercure": {"subscribe": subscribe}}, SECRET, "HS256")
grants = {
    "claim": jwt.encode(GOOD | {"topics": ["news", "user/ada", "team/*"]}, SECRET, "HS256"),
    "one": jwt.encode(GOOD | {"topics": "news"}, SECRET, "HS256"),
    "news_only": jwt.encode(GOOD | {"topics": ["news"]}, SECRET, "HS256"),
    "absent": jwt.encode({k: v for k, v in GOOD.items() if k != "topics"}, SECRET, "HS256"),
    "malformed": jwt.encode(GOOD | {"topics": [1]}, SECRET, "HS256"),
    "control": jwt.encode(GOOD | {"topics": ["a\nb"]}, SECRET, "HS256"),
    "many_64": jwt.encode(GOOD | {"topics": [f"t{n}" for n in range(64)]}, SECRET, "HS256"),
    "many_65": jwt.encode(GOOD | {"topics": [f"t{n}" for n in range(65)]}, SECRET, "HS256"),
    "mercure": mercure(["https://example.com/books/{id}", "news*"]),
    "mercure_all": mercure(["*"]),
    "mercure_unknown_form": mercure(["https://example.com/{+path}"]),
}
said = lambda **claims: jwt.encode(GOOD | claims, SECRET, "HS256")
text = lambda start: raw({"alg": "HS256"}, start + json.dumps(GOOD)[1:], hs())
roles = {
    "roles": {"roles": ["editor", "offline_access", "team:red", "uma_authorization"]},
    "roles_one": {"roles": "editor"},
    "roles_none": {},
    "roles_empty": {"roles": []},
    "roles_many": {"roles": [f"r{n}" for n in range(500)] + ["editor"]},
    "roles_same": {"roles": ["editor"] * 500},
    "roles_teams": {"roles": [f"team:{n}" for n in range(65)]},
    "roles_star": {"roles": ["*", "team:*", "editor*"]},
    "roles_empty_text": {"roles": [""]},
    "roles_team_empty": {"roles": ["team:"]},
    "roles_control": {"roles": ["team:a\nb"]},
    "roles_long": {"roles": ["team:" + "x" * 257]},
    "roles_number": {"roles": 1},
    "roles_mixed": {"roles": ["editor", 1]},
    "roles_nested": {"roles": [["editor"]]},
    "roles_null": {"roles": None},
    "roles_object": {"roles": {"editor": True}},
    "outer_list": ["editor"],
    "outer_text": "editor",
    "outer_null": None,
    "outer_number": 1,
}
grants |= {name: said(realm_access=value) for name, value in roles.items()}
grants |= {
    "roles_10000": said(realm_access={"roles": [0] * 10_000}),
    "roles_with_a_dot": said(**{"realm_access.roles": ["editor"], "realm_access": {"x.roles": ["editor"]}}),
    "roles_twice": text('{"realm_access":{"roles":[],"roles":["editor"]},'),
    "outer_twice": text('{"realm_access":{},"realm_access":{"roles":["editor"]},'),
    "outer_twice_null": text('{"realm_access":{"roles":["editor"]},"realm_access":{"roles":["editor"]},'),
    "topics_twice": text('{"topics":["*"],'),
    "url": said(**{"https://app.example/topics": ["news"], "https://app": {"example/topics": ["other"]}}),
    "deep": said(a={"b": {"c": ["news"]}, "c": ["other"]}, b={"c": ["other"]}, c=["other"]),
}
scopes = {
    "scope": "openid sse:news profile sse:team/* SSE:loud xsse:other",
    "scope_one": "sse:news",
    "scope_empty": "",
    "scope_spaces": "  sse:news   openid ",
    "scope_tab": "openid\tsse:news",
    "scope_new_line": "sse:a\nb",
    "scope_prefix_alone": "openid sse:",
    "scope_everything": "sse:*",
    "scope_list": ["sse:news"],
    "scope_null": None,
    "scope_number": 1,
    "scope_object": {"sse:news": True},
    "scope_same": "sse:news " * 500,
    "scope_64": " ".join(f"sse:t{n}" for n in range(64)),
    "scope_65": " ".join(f"sse:t{n}" for n in range(65)),
    "scope_many": "x " * 2_500 + "sse:news",
}
grants |= {name: said(scope=value) for name, value in scopes.items()}
grants |= {"scp": said(scp="sse:news", scope="sse:other"), "scope_twice": text('{"scope":"sse:news","scope":"",')}
# Mercure 1.0.
DETAIL = "https://mercure.rocks/authorization-detail"
detail = lambda topics, actions=("subscribe",), **more: {"type": DETAIL, "actions": list(actions), "topics": topics} | more
match = lambda text, kind=None: {"match": text} | ({"match_type": kind} if kind else {})
news, books = match("news"), match("https://example.com/books/:id", "urlpattern")
details = {
    "v1": [detail([news, match("https://example.com/a", "exact"), books, match("/users/42/*", "urlpattern"), match("stars*")])],
    "v1_several": [detail([news]), detail([match("other")], ["publish"]), detail([match("third")], ["publish", "subscribe"])],
    "v1_all": [detail([match("*")])],
    "v1_all_by_pattern": [detail([match("*", "urlpattern")])],
    "v1_all_to_publish": [detail([match("*")], ["publish"]), detail([news])],
    "v1_unknown_action": [detail([match("*")], ["sing"]), detail([news], ["sing", "subscribe"])],
    "v1_action_in_upper_case": [detail([news], ["SUBSCRIBE"])],
    "v1_payload": [detail([news], payload={"a": [1]}, unheard_of=1)],
    "v1_other_types": [
        {"type": "mercure", "actions": ["subscribe"], "topics": [match("*")]},
        {"type": DETAIL + "/", "actions": ["subscribe"], "topics": [match("*")]},
        {"type": DETAIL.upper(), "actions": ["subscribe"], "topics": [match("*")]},
        {"type": "payment", "actions": 7, "topics": "*"},
        {"type": ""},
        detail([news]),
    ],
    "v1_none": [],
    "v1_64": [detail([match(f"t{n}") for n in range(64)])],
    "v1_65": [detail([match(f"t{n}") for n in range(40)]), detail([match(f"u{n}") for n in range(25)])],
    "v1_250": [detail([news] * 250)],
}
# Each beside one that is good: no part of it counts.
malformed = {
    "is a text": "subscribe",
    "is null": None,
    "is a list": [DETAIL, ["subscribe"], [news]],
    "is a list of another type": ["payment"],
    "has no type": {"actions": ["subscribe"], "topics": [news]},
    "has a type that is a number": {"type": 1},
    "has a type that is null": {"type": None},
    "has no actions": {"type": DETAIL, "topics": [news]},
    "has no topics": {"type": DETAIL, "actions": ["subscribe"]},
    "has empty actions": detail([news], []),
    "has empty topics": detail([]),
    "has empty topics to publish": detail([], ["publish"]),
    "has actions that are a text": {"type": DETAIL, "actions": "subscribe", "topics": [news]},
    "has an action that is a number": detail([news], ["subscribe", 1]),
    "has an action that is null": detail([news], ["subscribe", None]),
    "has topics that are a text": {"type": DETAIL, "actions": ["subscribe"], "topics": "news"},
    "has topics that are an object": {"type": DETAIL, "actions": ["subscribe"], "topics": news},
    "has a topic that is a text": detail(["news"]),
    "has a topic that is null": detail([None]),
    "has a topic that is a list": detail([["*"]]),
    "has a topic without match": detail([{"match_type": "exact"}]),
    "has a match that is null": detail([{"match": None}]),
    "has a match that is a number": detail([{"match": 1}]),
    "has an empty match": detail([match("")]),
    "has a match with a line break": detail([match("a\nb")]),
    "has a match of 257 bytes": detail([match("x" * 257)]),
    "has a match_type that is null": detail([{"match": "news", "match_type": None}]),
    "has a match_type that is empty": detail([{"match": "news", "match_type": ""}]),
    "has a match_type of earlier drafts": detail([match("news", "Exact")]),
    "has a match_type of 0.x": detail([match("https://example.com/{id}", "uritemplate")]),
    "has a match_type that is not known, for all": detail([match("*", "regexp")]),
    "has a match_type that is not known, to publish": detail([match("news", "regexp")], ["publish"]),
    "has a URL pattern with a host of any": detail([match("https://*/a", "urlpattern")]),
    "has a URL pattern with an expression": detail([match("/:a((a+)+)", "urlpattern")]),
    "has a URL pattern that is a word": detail([match("news", "urlpattern")]),
    "has a payload that is a text": detail([news], payload="x"),
    "has a payload that is null": detail([news], payload=None),
}
for name, value in malformed.items():
    details[f"v1_bad: {name}"] = [detail([news]), value]
for name, value in {"text": "x", "object": detail([news]), "null": None, "number": 1, "true": True}.items():
    details[f"v1_bad: claim is {name}"] = value
grants |= {name: said(authorization_details=value) for name, value in details.items()}
inner = json.dumps(detail([news]))
grants |= {
    "v1_bad: claim twice": text(f'{{"authorization_details":[],"authorization_details":[{inner}],'),
    "v1_bad: type twice": text(f'{{"authorization_details":[{{"type":"payment",{inner[1:]}],'),
    "v1_bad: topics twice": text(f'{{"authorization_details":[{{"topics":[{{"match":"*"}}],{inner[1:]}],'),
    "v1_bad: actions twice": text(f'{{"authorization_details":[{{"actions":["publish"],{inner[1:]}],'),
    "v1_bad: match twice": text('{"authorization_details":[' + inner.replace('"match"', '"match":"*","match"') + "],"),
    "both_versions": said(mercure={"subscribe": ["old"]}, authorization_details=[detail([match("new")])]),
    "mercure_list": said(mercure=[["*"]]),
    "mercure_text": said(mercure="*"),
    "mercure_null": said(mercure=None),
    "mercure_twice": text('{"mercure":{"subscribe":["*"]},"mercure":{"subscribe":["news"]},'),
    "mercure_inner_twice": text('{"mercure":{"subscribe":["*"],"subscribe":["news"]},'),
    "mercure_number": mercure([1]),
    "mercure_empty_text": mercure([""]),
    "mercure_65": mercure([f"t{n}" for n in range(65)]),
}
people = {
    "ada": jwt.encode(GOOD | {"jti": "ada-1"}, SECRET, "HS256"),
    "ada_again": jwt.encode(GOOD | {"jti": "ada-2"}, SECRET, "HS256"),
    "ada_now": jwt.encode(GOOD | {"jti": "ada-3", "iat": NOW}, SECRET, "HS256"),
    "ada_now_too": jwt.encode(GOOD | {"jti": "ada-4", "iat": NOW}, SECRET, "HS256"),
    "ada_later": jwt.encode(GOOD | {"jti": "ada-5", "iat": NOW + 1}, SECRET, "HS256"),
    "ada_short": jwt.encode(GOOD | {"exp": NOW + 3}, SECRET, "HS256"),
    "ada_without_iat": jwt.encode({k: v for k, v in GOOD.items() if k != "iat"}, SECRET, "HS256"),
    # As the documentation of Mercure 0.x shows one: nothing else is in it.
    "mercure_0": jwt.encode({"mercure": {"publish": ["*"], "subscribe": ["https://example.com/books/{id}"]}}, SECRET, "HS256"),
    "mercure_0_too": jwt.encode({"mercure": {"subscribe": ["https://example.com/books/{id}", "news"]}}, SECRET, "HS256"),
    "nobody_1": jwt.encode({k: v for k, v in GOOD.items() if k not in ["sub", "exp"]} | {"jti": "nobody-1"}, SECRET, "HS256"),
    "nobody_2": jwt.encode({k: v for k, v in GOOD.items() if k not in ["sub", "exp"]} | {"jti": "nobody-2"}, SECRET, "HS256"),
    "ada_for_ever": jwt.encode({k: v for k, v in GOOD.items() if k != "exp"} | {"jti": "ada-6"}, SECRET, "HS256"),
    "eve": jwt.encode(GOOD | {"sub": "eve", "topics": ["news", "user/eve"]}, SECRET, "HS256"),
}

json.dump(
    {
        "now": NOW,
        "secret": SECRET,
        "long_secret": LONG_SECRET,
        "listener": LISTENER,
        "pem": pem,
        "sets": {name: {"keys": keys} for name, keys in sets.items()},
        "cases": cases,
        "by_issuer": by_issuer,
        "grants": grants,
        "people": people,
        "random_kids": [kid(hashlib.sha256(str(n).encode()).hexdigest()) for n in range(4)],
        "rs_by_kid": {name: kid(name) for name in ["a", "r", "late"]},
        "late_set": {"keys": [jwk(RS, rsa_key, kid="r"), jwk(RS, rsa_key, kid="late")]},
    },
    sys.stdout,
    indent=1,
)
print()
