"""Reads secrets of a KV engine with hvac: URL MOUNT PATH..., the token in VAULT_TOKEN. Prints JSON by path."""

import json
import os
import sys

import hvac

url, mount, *paths = sys.argv[1:]
client = hvac.Client(url=url, token=os.environ["VAULT_TOKEN"])
kv = client.secrets.kv.v2
found = {}
for path in paths:
    if path.endswith("/"):
        found[path] = kv.list_secrets(path=path, mount_point=mount)["data"]["keys"]
    else:
        answer = kv.read_secret_version(
            path=path, mount_point=mount, raise_on_deleted_version=True
        )
        found[path] = answer["data"]["data"]
print(json.dumps(found))
