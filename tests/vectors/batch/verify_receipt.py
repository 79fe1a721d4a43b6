"""Verifies receipts without this library: CBOR by cbor2, signatures by cryptography, the Merkle tree by RFC 9162.

    pip install cbor2 cryptography
    python verify_receipt.py receipts.json      every receipt of the file has to verify, no forgery may
"""

import base64
import hashlib
import json
import sys

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

BLINDING = -1 - 0x61326101
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "secp256k1": ec.SECP256K1()}
ECDSA = {-7: hashes.SHA256(), -35: hashes.SHA384(), -47: hashes.SHA256()}


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprint(jwk):
    """RFC 7638."""
    members = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return sha256(text.encode())


def root_of(leaf, index, size, path):
    """RFC 9162 section 2.1.3.2."""
    fn, sn, r = index, size - 1, leaf
    if index >= size:
        raise ValueError("the index is not in the tree")
    for p in path:
        if sn == 0:
            raise ValueError("the path is too long")
        if fn & 1 or fn == sn:
            r = sha256(b"\x01", p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\x01", r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ValueError("the path is too short")
    return r


def verify_signature(jwk, algorithm, data, signature):
    """The key decides what is accepted; `algorithm` was compared with it before."""
    if jwk["kty"] == "EC":
        x, y = (int.from_bytes(unb64(jwk[name]), "big") for name in ("x", "y"))
        key = ec.EllipticCurvePublicNumbers(x, y, CURVES[jwk["crv"]]).public_key()
        half = len(signature) // 2
        r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
        key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(ECDSA[algorithm]))
    elif jwk["kty"] == "OKP":
        ed25519.Ed25519PublicKey.from_public_bytes(unb64(jwk["x"])).verify(signature, data)
    else:
        e, n = (int.from_bytes(unb64(jwk[name]), "big") for name in ("e", "n"))
        key = rsa.RSAPublicNumbers(e, n).public_key()
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())


def verify_receipt(message, receipt, jwk, expected_algorithm):
    """Raises unless the key signed the message."""
    tagged = cbor2.loads(receipt)
    if tagged.tag != 18:
        raise ValueError("not a COSE_Sign1")
    protected, unprotected, payload, signature = tagged.value
    header = cbor2.loads(protected)
    if payload is not None or 2 in header or header[395] != 1:
        raise ValueError("not a receipt of this kind")
    if header[4] != thumbprint(jwk) or header[1] != expected_algorithm:
        raise ValueError("another key or algorithm")
    [proof] = unprotected[396][-1]
    size, index, path = cbor2.loads(proof)
    blinding = unprotected[BLINDING]
    # Not signed by itself: with another length, bytes of the message could be moved into it, or out of it.
    if not isinstance(blinding, bytes) or len(blinding) != 32:
        raise ValueError("the blinding does not have 32 bytes")
    leaf = sha256(b"\x00", blinding, message)
    root = root_of(leaf, index, size, path)
    verify_signature(jwk, header[1], cbor2.dumps(["Signature1", protected, b"", root]), signature)


ALGORITHMS = {"ES256": -7, "ES384": -35, "ES256K": -47, "EdDSA": -8, "RS256": -257}



def with_blinding(receipt, change):
    """The receipt with another blinding."""
    tagged = cbor2.loads(receipt)
    protected, unprotected, payload, signature = tagged.value
    changed = {**unprotected, BLINDING: change(unprotected[BLINDING])}
    return cbor2.dumps(cbor2.CBORTag(18, [protected, changed, payload, signature]))


def forgeries(message, receipt):
    """Other messages, and other places for the end of the blinding: those have the same leaf."""
    for changed in (message + b".", b"", message[:-1]):
        yield changed, receipt
    tail = cbor2.loads(receipt).value[1][BLINDING][-5:]
    yield tail + message, with_blinding(receipt, lambda blinding: blinding[:-5])
    yield message[5:], with_blinding(receipt, lambda blinding: blinding + message[:5])


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        receipts = json.load(file)["receipts"]
    for each in receipts:
        message, receipt = unb64(each["message"]), bytes.fromhex(each["receipt"])
        algorithm = ALGORITHMS[each["jwk"]["alg"]]
        verify_receipt(message, receipt, each["jwk"], algorithm)
        for other, changed in forgeries(message, receipt):
            # An empty message stays what it is when nothing of it is moved.
            if (other, changed) == (message, receipt):
                continue
            try:
                verify_receipt(other, changed, each["jwk"], algorithm)
            except Exception:
                continue
            raise SystemExit("another message verified")
    print(f"{len(receipts)} receipts verify")
