"""Follows the secret argv[2] of the server at argv[1], with its cache in the file argv[3], and prints what the store reports
and holds, for tests. It waits for less time than a program does.
"""

import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "client/python"))

import sotto  # noqa: E402

sotto._WATCH, sotto._LATE, sotto._MAX_WAIT, sotto._DENIED = 2, 5.0, 0.5, 0.1
url, name, cache = sys.argv[1:]


def report(kind, _, error):
    print(kind, error.code if error else held(), flush=True)


def held():
    return store.secret(name).text() if opened.is_set() else ""


opened = threading.Event()
store = sotto.Store(sotto.Client(url, timeout=5), [name], cache=sotto.FileCache(cache), report=report)
opened.set()
print("holds", held(), flush=True)
threading.Event().wait()
