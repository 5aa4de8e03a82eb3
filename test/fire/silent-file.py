"""A file that can be looked at, and whose open is never answered, as on a disk that hangs.

Mounted by FUSE over the file that is named. Ends, and lets go whoever waits, when its stdin ends.
"""
import ctypes
import os
import select
import struct
import sys

OPEN, INIT, GETATTR, INTERRUPT, FORGET, BATCH_FORGET = 14, 26, 3, 36, 2, 42
ENOSYS = 38
MNT_DETACH = 2

path = sys.argv[1].encode()
libc = ctypes.CDLL(None, use_errno=True)
if not os.path.exists("/dev/fuse"):
    os.mknod("/dev/fuse", 0o20600, os.makedev(10, 229))
fuse = os.open("/dev/fuse", os.O_RDWR)
options = b"fd=%d,rootmode=100600,user_id=0,group_id=0" % fuse
if libc.mount(b"silent", path, b"fuse", 0, options) != 0:
    sys.exit(f"Cannot mount: {os.strerror(ctypes.get_errno())}")


def answer(unique, body=b"", error=0):
    os.write(fuse, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)


attributes = struct.pack(
    "=QII" + "6Q" + "10I", 0, 0, 0, 1, 4096, 8, 0, 0, 0, 0, 0, 0, 0o100600, 1, 0, 0, 0, 4096, 0
)
print("mounted", flush=True)
while True:
    ready, _, _ = select.select([fuse, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    request = os.read(fuse, 1 << 20)
    _, kind, unique = struct.unpack_from("=IIQ", request)
    if kind == INIT:
        body = struct.pack("=4I2H2I2HI7I", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0, *[0] * 7)
        answer(unique, body)
    elif kind == GETATTR:
        answer(unique, attributes)
    elif kind not in (OPEN, INTERRUPT, FORGET, BATCH_FORGET):
        answer(unique, error=ENOSYS)
libc.umount2(path, MNT_DETACH)
