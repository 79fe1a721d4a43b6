"""Writes known answers with Tink for Python, or reads with it what this library wrote.

    pip install tink==1.16.1
    python tink_vectors.py write OUT_DIR              messages.json, streams.json, stream-two-segments.bin
    python tink_vectors.py read FILE                  a file of the same form; every entry has to decrypt

The key-encryption key is Tink's own AesGcm with a fixed key in place of Cloud KMS. Files that are already here are
frozen: they were written once, and a new run gives other bytes.
"""

import hashlib
import io
import json
import os
import sys

import tink
from tink import aead, secret_key_access, streaming_aead
from tink.proto import aes_gcm_pb2, tink_pb2

KEK = bytes(range(32))
MEBIBYTE = 1 << 20


def keyset(type_url, value):
    """A keyset with one raw key."""
    data = tink_pb2.KeyData(
        type_url=type_url, value=value, key_material_type=tink_pb2.KeyData.SYMMETRIC
    )
    key = tink_pb2.Keyset.Key(
        key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW
    )
    serialized = tink_pb2.Keyset(primary_key_id=1, key=[key]).SerializeToString()
    return tink.proto_keyset_format.parse(serialized, secret_key_access.TOKEN)


def kek_aead():
    value = aes_gcm_pb2.AesGcmKey(key_value=KEK).SerializeToString()
    return keyset("type.googleapis.com/google.crypto.tink.AesGcmKey", value).primitive(aead.Aead)


def pattern(length):
    """Plaintext of streams: byte i is (7 i + i / 256) mod 256."""
    return bytes((7 * i + (i >> 8)) & 0xFF for i in range(length))


class Kept(io.BytesIO):
    """Keeps what was written when it is closed."""

    def close(self):
        self.kept = self.getvalue()
        super().close()


def encrypt_stream(kek, plaintext, associated_data):
    template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    key = tink.core.Registry.new_key_data(template)
    out = Kept()
    primitive = keyset(template.type_url, key.value).primitive(streaming_aead.StreamingAead)
    with primitive.new_encrypting_stream(out, associated_data) as stream:
        stream.write(plaintext)
    wrapped = kek.encrypt(key.value, b"")
    return len(wrapped).to_bytes(4, "big") + wrapped + out.kept


def decrypt_stream(kek, ciphertext, associated_data):
    n = int.from_bytes(ciphertext[:4], "big")
    value = kek.decrypt(ciphertext[4 : 4 + n], b"")
    template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    primitive = keyset(template.type_url, value).primitive(streaming_aead.StreamingAead)
    with primitive.new_decrypting_stream(io.BytesIO(ciphertext[4 + n :]), associated_data) as stream:
        return stream.read()


def write(out_dir):
    kek = kek_aead()
    envelope = aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, kek)
    messages = []
    for name, plaintext, associated_data in [
        ("empty, without associated data", b"", b""),
        ("short, without associated data", b"pay 10 EUR to alice", b""),
        ("short, with associated data", b"pay 10 EUR to alice", b"invoice 17"),
        ("empty, with associated data", b"", b"invoice 17"),
        ("1 KiB, with 2 KiB of associated data", pattern(1024), pattern(2048)),
    ]:
        messages.append(
            {
                "source": "Tink for Python %s, KmsEnvelopeAead with AES256_GCM: %s" % (tink_version(), name),
                "kek": KEK.hex(),
                "plaintext": plaintext.hex(),
                "associatedData": associated_data.hex(),
                "ciphertext": envelope.encrypt(plaintext, associated_data).hex(),
            }
        )
    streams = []
    for name, length, associated_data in [
        ("empty", 0, b""),
        ("one byte", 1, b"invoice 17"),
        ("short, with 2 KiB of associated data", 1000, pattern(2048)),
        ("two segments", MEBIBYTE, b"invoice 17"),
    ]:
        plaintext = pattern(length)
        ciphertext = encrypt_stream(kek, plaintext, associated_data)
        stream = {
            "source": "Tink for Python %s, AES256_GCM_HKDF_1MB: %s" % (tink_version(), name),
            "kek": KEK.hex(),
            "plaintextBytes": length,
            "plaintextSha256": hashlib.sha256(plaintext).hexdigest(),
            "associatedData": associated_data.hex(),
        }
        if length < MEBIBYTE:
            stream["ciphertext"] = ciphertext.hex()
        else:
            stream["file"] = "stream-two-segments.bin"
            with open(os.path.join(out_dir, stream["file"]), "wb") as file:
                file.write(ciphertext)
        streams.append(stream)
    for name, vectors in [("messages.json", messages), ("streams.json", streams)]:
        with open(os.path.join(out_dir, name), "w") as file:
            file.write(json.dumps(vectors, indent=2) + "\n")


def read(path):
    with open(path) as file:
        vectors = json.load(file)
    for vector in vectors:
        kek = kek_aead()
        associated_data = bytes.fromhex(vector["associatedData"])
        if "file" in vector:
            with open(os.path.join(os.path.dirname(path), vector["file"]), "rb") as file:
                ciphertext = file.read()
        else:
            ciphertext = bytes.fromhex(vector["ciphertext"])
        if "plaintextSha256" in vector:
            plaintext = decrypt_stream(kek, ciphertext, associated_data)
            assert hashlib.sha256(plaintext).hexdigest() == vector["plaintextSha256"], vector["source"]
        else:
            envelope = aead.KmsEnvelopeAead(aead.aead_key_templates.AES256_GCM, kek)
            plaintext = envelope.decrypt(ciphertext, associated_data)
            assert plaintext.hex() == vector["plaintext"], vector["source"]
        print("ok", vector["source"])


def tink_version():
    from importlib.metadata import version

    return version("tink")


aead.register()
streaming_aead.register()
{"write": write, "read": read}[sys.argv[1]](sys.argv[2])
