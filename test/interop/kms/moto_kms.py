"""moto_server, with the rules of KMS that moto leaves out."""
import sys

from moto.core.exceptions import JsonRESTError
from moto.kms import utils
from moto.kms.models import KmsBackend
from moto.server import main

encrypt, decrypt = KmsBackend.encrypt, KmsBackend.decrypt


def refuse_unusable(backend, key_id):
    key = backend.keys[backend.any_id_to_key_id(key_id)]
    if key.key_state == "Disabled":
        raise JsonRESTError("DisabledException", f"{key.arn} is disabled.")
    if key.key_state == "PendingDeletion":
        raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
    if key.key_state != "Enabled":
        raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is {key.key_state}.")
    if key.key_usage != "ENCRYPT_DECRYPT":
        raise JsonRESTError("InvalidKeyUsageException", f"{key.arn} key usage is {key.key_usage}.")


def encrypt_if_usable(self, key_id, plaintext, encryption_context):
    refuse_unusable(self, key_id)
    return encrypt(self, key_id, plaintext, encryption_context)


def decrypt_if_usable(self, ciphertext_blob, encryption_context, key_id=None):
    try:
        made_by = utils._deserialize_ciphertext_blob(ciphertext_blob=ciphertext_blob).key_id
    except Exception:
        made_by = None
    # moto says AccessDenied here; KMS looks at the key of the request first, then at the bytes.
    if key_id is not None:
        refuse_unusable(self, key_id)
    if made_by not in self.keys:
        raise JsonRESTError("InvalidCiphertextException", "")
    if key_id is not None and self.any_id_to_key_id(key_id) != made_by:
        raise JsonRESTError(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        )
    refuse_unusable(self, made_by)
    return decrypt(self, ciphertext_blob, encryption_context, key_id)


def deserialize_with_longer_id(ciphertext_blob):
    found = deserialize(ciphertext_blob)
    return found._replace(key_id=found.key_id.rstrip("\0"))


# moto leaves no room for the longer ids of keys of several regions in what they wrap.
deserialize = utils._deserialize_ciphertext_blob
utils._deserialize_ciphertext_blob = deserialize_with_longer_id
utils.CIPHERTEXT_HEADER_FORMAT = ">40s12s16s"
utils.HEADER_LEN = 40 + 12 + 16
KmsBackend.encrypt, KmsBackend.decrypt = encrypt_if_usable, decrypt_if_usable
main(sys.argv[1:])
