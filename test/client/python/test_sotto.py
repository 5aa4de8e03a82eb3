"""The Python client against the server at SOTTO_URL, whose tailnet file is TAILNET; WATCHES: it is `yes` where it tells of
changes. Run by test/client/python-suite.ts."""

import ast
import base64
import gc
import json
import os
import pathlib
import stat
import sys
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

SOURCE = pathlib.Path(__file__).parents[3] / "client/python/sotto.py"
sys.path.insert(0, str(SOURCE.parent))

import sotto  # noqa: E402

URL = os.environ["SOTTO_URL"]
TAILNET = pathlib.Path(os.environ["TAILNET"])
WATCHES = os.environ["WATCHES"] == "yes"
# How often a store polls that is to hear soon of what changes.
SOON = 3600 if WATCHES else 0.05
CANARY = "canary-93aa"
DOWN = "http://127.0.0.1:1"


class Heard:
    """What a store reports, for tests that wait for it."""

    def __init__(self):
        self.events = []
        self._changed = threading.Condition()

    def __call__(self, kind, name, error):
        with self._changed:
            self.events.append((kind, name, error and error.code))
            self._changed.notify_all()

    def wait(self, kind, times=1):
        with self._changed:
            count = lambda: sum(1 for event in self.events if event[0] == kind)
            if not self._changed.wait_for(lambda: count() >= times, 120):
                raise AssertionError(f"not {times} {kind} in {self.events}")


class SottoTest(unittest.TestCase):
    def setUp(self):
        self.root = sotto.Client(URL)
        self.policy = TAILNET.read_text()
        self.addCleanup(TAILNET.write_text, self.policy)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "sub", "cache.json")
        self.prefix = self.id().rsplit(".", 1)[-1] + "/"

    def name(self, name):
        return self.prefix + name

    def fill(self, **values):
        for name, value in values.items():
            self.root.activate(self.name(name), self.root.put(self.name(name), value.encode()))

    def allow(self, *patterns):
        """Gives the node at 127.0.0.2 the right to get what the patterns match."""
        policy = json.loads(self.policy)
        policy["nodes"]["127.0.0.2"]["rules"] = [{"action": ["get"], "secret": list(patterns)}]
        TAILNET.write_text(json.dumps(policy))

    def store(self, *names, **options):
        store = sotto.Store(options.pop("server", self.root), [self.name(name) for name in names], **options)
        self.addCleanup(store.close)
        return store

    def failure(self, *codes):
        return Failure(self, codes)

    def test_written_for_3_9(self):
        ast.parse(SOURCE.read_text(), feature_version=(3, 9))
        imported = {
            name.name.split(".")[0] if isinstance(node, ast.Import) else node.module.split(".")[0]
            for node in ast.walk(ast.parse(SOURCE.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in node.names
        }
        self.assertLessEqual(imported, set(sys.stdlib_module_names))

    def test_client(self):
        name = self.name("a")
        every = bytes(range(256))
        self.assertEqual(self.root.put(name, every), 1)
        self.assertEqual(self.root.put(name, b""), 2)
        self.assertEqual(self.root.get(name), sotto.Value(every, 1))
        self.assertEqual(self.root.get(name, 2), sotto.Value(b"", 2))
        self.assertIsNone(self.root.get_if_changed(name, 1))
        self.root.activate(name, 2)
        self.assertEqual(self.root.get_if_changed(name, 1), sotto.Value(b"", 2))
        self.assertEqual(self.root.get_if_changed(name, 0).version, 2)

    def test_client_failures(self):
        with self.failure("not_found"):
            self.root.get(self.name("none"))
        with self.failure("denied"):
            sotto.Client(URL, local_address="127.0.0.4").get(self.name("none"))
        with self.failure("unreachable"):
            sotto.Client(DOWN).get("a")
        # As the server says it.
        with self.failure("no_such_method", "bad_answer"):
            sotto.Client(URL + "/elsewhere").get("a")
        for url in ("", "secrets.example", "ftp://x", "https://u:p@x", "https://x?y"):
            with self.failure("usage"):
                sotto.Client(url)

    def test_many_as_long_as_an_answer_is(self):
        if not WATCHES:
            return
        names = [self.name(str(number)) for number in range(7)]
        for name in names:
            self.root.put(name, bytes(1024 * 1024))
        found = self.root.get_many(names, all=True)
        self.assertEqual([len(found[name].value) for name in names], [1024 * 1024] * 7)

    def test_nothing_shows_a_value(self):
        self.fill(a=CANARY)
        store = self.store("a")
        secret = store.secret(self.name("a"))
        self.assertEqual(secret.text(), CANARY)
        for each in (secret, secret.value(), store, store.health()):
            self.assertNotIn(CANARY, repr(each) + str(each))

    def test_store(self):
        self.fill(a="1", b="2")
        store = self.store("a", "b", "a")
        secret = store.secret(self.name("a"))
        self.assertEqual((secret.bytes(), secret.version), (b"1", 1))
        self.fill(a="3")
        store.refresh()
        self.assertEqual((secret.text(), secret.version), ("3", 2))
        with self.failure("usage"):
            store.secret("other")
        with self.failure("usage"):
            store.lookup("other")
        for names, options in (([], {}), ([""], {"lookup": True}), (["a"], {"poll": -1})):
            with self.failure("usage"):
                sotto.Store(self.root, names, **options)

    def test_lookup(self):
        self.fill(a="1")
        store = self.store(lookup=True)
        with self.failure("not_found"):
            store.lookup(self.name("none"))
        self.assertEqual(store.lookup(self.name("a")).text(), "1")
        self.assertIs(store.lookup(self.name("a")), store.secret(self.name("a")))

    def test_waits_for_what_is_missing(self):
        heard = Heard()
        opened = []
        thread = threading.Thread(target=lambda: opened.append(self.store("late", report=heard)))
        thread.start()
        heard.wait("failed")
        self.fill(late="here")
        thread.join(20)
        self.assertEqual(opened[0].secret(self.name("late")).text(), "here")
        with self.failure("not_found"):
            self.store("never", timeout=0.0)

    def test_polls(self):
        self.fill(a="1")
        heard = Heard()
        store = self.store("a", watch=False, poll=0.05, report=heard)
        self.fill(a="2")
        heard.wait("changed")
        self.assertEqual(store.secret(self.name("a")).text(), "2")
        self.assertEqual(store.health().state, "polling")

    def test_hears(self):
        self.fill(a="1", b="1", c="1")
        heard = Heard()
        store = self.store("a", "b", lookup=True, poll=SOON, report=heard)
        self.fill(a="2", b="2")
        heard.wait("changed", 2)
        self.assertEqual(store.secret(self.name("a")).text(), "2")
        self.assertEqual(store.secret(self.name("b")).text(), "2")
        self.assertEqual(store.health().state, "live" if WATCHES else "polling")
        looked_up = store.lookup(self.name("c"))
        self.fill(c="2")
        heard.wait("changed", 3)
        self.assertEqual(looked_up.text(), "2")
        self.root._call("delete", "delete", {"Name": self.name("a")})
        heard.wait("missing")
        self.assertEqual(store.secret(self.name("a")).text(), "2")
        self.fill(a="3")
        heard.wait("allowed")
        heard.wait("changed", 4)
        self.assertEqual(store.secret(self.name("a")).text(), "3")

    def test_hears_of_rights(self):
        self.fill(a="1", b="1", c="1")
        self.allow(self.prefix + "*")
        heard, cache = Heard(), sotto.FileCache(self.path)
        client = sotto.Client(URL, local_address="127.0.0.2")
        with mock.patch.multiple(sotto, _DENIED=0.1, _WATCH=1):
            store = self.store("a", "b", server=client, cache=cache, lookup=True, poll=SOON, report=heard)
            looked_up = store.lookup(self.name("c"))
            self.allow(self.name("b"))
            heard.wait("denied", 2)
            self.assertEqual(store.secret(self.name("a")).text(), "1")
            with self.failure("denied"):
                looked_up.text()
            self.assertEqual(list(cache.read()), [self.name("b")])
            self.fill(b="2")
            heard.wait("changed")
            self.allow(self.prefix + "*")
            heard.wait("allowed")
            self.assertEqual(store.health().denied, ())

    def test_get_many(self):
        self.fill(a="1", b="1")
        names = [self.name(name) for name in ("a", "none", "b", "a")]
        if not WATCHES:
            with self.failure("no_such_method", "bad_answer"):
                self.root.get_many(names)
            return
        found = self.root.get_many(names, held={self.name("b"): 1})
        self.assertEqual(found.pop(names[1]).code, "not_found")
        self.assertEqual(found, {names[0]: sotto.Value(b"1", 1), names[2]: None})
        with self.failure("not_found"):
            self.root.get_many(names, all=True)
        self.assertEqual(self.root.get_many(names[2:], all=True)[names[0]].value, b"1")
        with self.failure("denied"):
            sotto.Client(URL, local_address="127.0.0.4").get_many(names, all=True)

    def test_a_report_that_fails_ends_nothing(self):
        self.fill(a="1")
        heard = Heard()

        def report(*event):
            heard(*event)
            raise RuntimeError("of the program")

        store = self.store("a", poll=SOON, report=report)
        for number, value in enumerate("23"):
            self.fill(a=value)
            heard.wait("changed", number + 1)
        self.assertEqual(store.secret(self.name("a")).text(), "3")

    def test_partly(self):
        self.fill(a="1", b="1")
        store = self.store("a", "b")
        self.fill(a="2")
        self.root._call("delete", "delete", {"Name": self.name("b")})
        with self.failure("not_found"):
            store.refresh()
        self.assertEqual(store.secret(self.name("a")).text(), "2")
        self.assertEqual(store.secret(self.name("b")).text(), "1")
        self.assertEqual(store.health().missing, (self.name("b"),))

    def test_denied_at_the_start(self):
        self.fill(a="1")
        self.allow("other")
        with self.failure("denied"):
            self.store("a", server=sotto.Client(URL, local_address="127.0.0.2"))

    def test_denied_later(self):
        self.fill(a="1", b="1", c="1")
        self.allow(self.prefix + "*")
        heard, cache = Heard(), sotto.FileCache(self.path)
        client = sotto.Client(URL, local_address="127.0.0.2")
        store = self.store("a", "b", server=client, cache=cache, lookup=True, report=heard)
        looked_up = store.lookup(self.name("c"))
        self.assertEqual(len(cache.read()), 3)
        self.allow(self.name("b"))
        with self.failure("denied"):
            store.refresh()
        self.assertEqual(store.secret(self.name("a")).text(), "1")
        with self.failure("denied"):
            looked_up.text()
        self.assertEqual(list(cache.read()), [self.name("b")])
        self.assertEqual(store.health().denied, (self.name("a"),))
        self.allow(self.prefix + "*")
        store.refresh()
        self.assertIn(("allowed", self.name("a"), None), heard.events)
        self.assertEqual(sorted(cache.read()), [self.name("a"), self.name("b")])

    def test_cache(self):
        self.fill(a="1")
        cache = sotto.FileCache(self.path)
        self.assertEqual(cache.read(), {})
        self.store("a", cache=cache).close()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["cache.json"])
        heard = Heard()
        store = self.store("a", server=DOWN, cache=cache, report=heard)
        self.assertEqual(store.secret(self.name("a")).text(), "1")
        heard.wait("failed")
        self.assertEqual(store.health().state, "stale")
        self.fill(a="2")
        heard = Heard()
        store = self.store("a", cache=cache, report=heard)
        heard.wait("changed")
        self.assertEqual(store.secret(self.name("a")).text(), "2")

    def test_a_cache_of_another_server_is_not_taken_for_what_is_active(self):
        self.fill(a="one")
        cache = sotto.FileCache(self.path)
        for watch in (False, True):
            cache.write({self.name("a"): (sotto.Value(b"of another server", 1), int(time.time()))})
            heard = Heard()
            store = self.store("a", cache=cache, watch=watch, report=heard)
            # Setec does not say what its numbers are of.
            if WATCHES:
                heard.wait("changed")
            else:
                store.refresh()
            expected = "one" if WATCHES else "of another server"
            self.assertEqual(store.secret(self.name("a")).text(), expected)

    def test_bad_caches(self):
        cache = sotto.FileCache(self.path)
        cache.write({"good": (sotto.Value(b"x", 3), 5), "bad": (sotto.Value(b"y", 1), 5)})
        text = pathlib.Path(self.path).read_text()
        pathlib.Path(self.path).write_text(text.replace("eQ==", "eQ=*"))
        self.assertEqual(cache.read(), {"good": (sotto.Value(b"x", 3), 5)})
        for damaged in (text[:20], "[]", "", '{"a": 5}', '{"a": {"secret": {"Value": "eA==", "Version": true}}}'):
            pathlib.Path(self.path).write_text(damaged)
            self.assertEqual(cache.read(), {}, damaged)
        os.chmod(self.path, 0o640)
        with self.failure("key_exposed"):
            cache.read()
        os.unlink(self.path)
        os.symlink("whatever", self.path)
        with self.failure("local"):
            cache.read()
        with self.failure("local"):
            cache.write({})
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["cache.json"])
        self.fill(a="1")
        heard = Heard()
        store = self.store("a", cache=cache, report=heard)
        heard.wait("cache")
        self.assertEqual(store.secret(self.name("a")).text(), "1")

    def test_a_cache_that_others_could_replace(self):
        cache = sotto.FileCache(self.path)
        cache.write({"a": (sotto.Value(b"x", 1), 5)})
        folder = pathlib.Path(self.path).parent
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        for open_to_others in (folder, folder.parent):
            mode = stat.S_IMODE(open_to_others.stat().st_mode)
            for wrong in (0o777, 0o722 | 0o100):
                open_to_others.chmod(wrong)
                with self.failure("key_exposed"):
                    cache.read()
                with self.failure("unsafe"):
                    cache.write({})
            open_to_others.chmod(mode)
        self.assertEqual(len(cache.read()), 1)
        # Links are followed, and what they lead through is looked at.
        link, shared = folder.parent / "link", folder.parent / "shared"
        link.symlink_to("shared/../shared")
        shared.mkdir()
        sotto.FileCache(str(link / "cache.json")).write({})
        shared.chmod(0o777)
        with self.failure("unsafe"):
            sotto.FileCache(str(link / "cache.json")).write({})
        shared.chmod(0o1777)
        sotto.FileCache(str(link / "deep/er/cache.json")).write({})
        self.assertEqual(stat.S_IMODE((shared / "deep").stat().st_mode), 0o700)
        link.unlink()
        link.symlink_to("link")
        with self.failure("unsafe", "local"):
            sotto.FileCache(str(link / "cache.json")).write({})

    def test_a_fork_goes_on(self):
        self.fill(a="1")
        store = self.store("a", poll=SOON)
        child = os.fork()
        if child == 0:
            end = time.monotonic() + 20
            while store.secret(self.name("a")).text() != "2" and time.monotonic() < end:
                time.sleep(0.01)
            os._exit(0 if store.secret(self.name("a")).text() == "2" else 1)
        self.fill(a="2")
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_store_that_nobody_has_ends(self):
        self.fill(a="1")
        store = sotto.Store(self.root, [self.name("a")], poll=SOON)
        thread = store._thread
        del store
        gc.collect()
        thread.join(20)
        self.assertFalse(thread.is_alive())


BRANCH, OTHER = "0123456789abcdef.", "fedcba9876543210."


class Scripted:
    """A server that answers as `answer(method, request, nth)` says: with the status, the body and headers of the nth call of
    the method. What it returns in place of that, such as bytes, is written as it is."""

    def __init__(self, test, answer):
        self.calls = []
        scripted, self._called, self._lock = self, threading.Condition(), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                method = self.path.rsplit("/", 1)[-1]
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with scripted._called:
                    scripted.calls.append((method, request, dict(self.headers)))
                    nth = len(scripted.of(method))
                    scripted._called.notify_all()
                answered = answer(method, request, nth)
                self.close_connection = True
                try:
                    if not isinstance(answered, tuple):
                        for part in answered:
                            self.wfile.write(part)
                        return
                    status, body, headers = (*answered, {})[:3]
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    text = b"" if body is None else json.dumps(body).encode() if not isinstance(body, bytes) else body
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    pass  # The client has gone.

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        test.addCleanup(lambda: (server.shutdown(), thread.join(), server.socket.close()))

    def of(self, method):
        return [call for call in self.calls if call[0] == method]

    def wait(self, method, times):
        with self._called:
            if not self._called.wait_for(lambda: len(self.of(method)) >= times, 120):
                raise AssertionError(f"no {times} calls of {method} in {self.calls}")


def value(text, version, mark=None):
    return 200, {"Value": base64.b64encode(text).decode(), "Version": version}, {"Sotto-Revision": mark} if mark else {}


def asked_for(call):
    """The versions that a watch says are held, by name."""
    return {item["Name"]: item["Version"] for item in call[1]["Secrets"]}


class ScriptedTest(unittest.TestCase):
    """What no real server does on demand."""

    failure = SottoTest.failure

    def setUp(self):
        self.heard = Heard()
        self.over = threading.Event()
        # Waits after failures are short here, and a call that is not ended stays.
        for name, seconds in (("_LATE", 3600.0), ("_MAX_WAIT", 0.05)):
            patch = mock.patch.object(sotto, name, seconds)
            patch.start()
            self.addCleanup(patch.stop)

    def serve(self, answer):
        server = Scripted(self, answer)
        self.addCleanup(self.over.set)
        return server

    def store(self, server, *names, **options):
        client = sotto.Client(server.url, timeout=options.pop("seconds", 3600))
        store = sotto.Store(client, names or ["a"], report=self.heard, **options)
        self.addCleanup(store.close)
        return store

    def never(self):
        self.over.wait()
        return []

    def test_a_server_that_drips(self):
        def drip(start):
            yield start
            while not self.over.wait(0.01):
                yield b"x"

        for start in (b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"):
            server = self.serve(lambda *_: drip(start))
            with self.failure("unreachable"):
                sotto.Client(server.url, timeout=0.3).get("a")

    def test_an_answer_that_is_cut(self):
        server = self.serve(lambda *_: [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1"])
        with self.failure("unreachable"):
            sotto.Client(server.url).put("a", b"x")

    def test_cut_in_the_middle_of_what_a_watch_tells(self):
        told = json.dumps([{"Name": "a", "Version": 2, "Revision": 7}]).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n".encode()

        def answer(method, request, nth):
            if method == "get":
                return value(b"x" * nth, nth)
            if nth <= len(told):
                return [head + told[: nth - 1]]
            return (200, json.loads(told)) if request["Secrets"][0]["Version"] == 1 else self.never()

        server = self.serve(answer)
        store = self.store(server)
        self.heard.wait("changed")
        self.assertEqual(store.secret("a").bytes(), b"xx")
        self.assertEqual(len(server.of("get")), 2)
        self.heard.wait("recovered")

    def test_close_ends_what_waits(self):
        for poll in (0, 3600):
            server = self.serve(lambda method, *_: value(b"x", 1) if method == "get" else self.never())
            store = self.store(server, poll=poll)
            server.wait("watch", 1)
            store.close()
            self.assertFalse(store._thread.is_alive())
            self.assertEqual(store._client._links, set())

    def test_a_store_that_nobody_has_ends_what_waits(self):
        server = self.serve(lambda method, *_: value(b"x", 1) if method == "get" else self.never())
        store = sotto.Store(sotto.Client(server.url, timeout=3600), ["a"])
        server.wait("watch", 1)
        thread = store._thread
        del store
        gc.collect()
        thread.join(20)
        self.assertFalse(thread.is_alive())

    def test_servers_that_cannot_watch(self):
        for status, body in ((400, b"invalid method\n"), (404, b"not found\n"), (404, b"<html>"), (405, b""), (501, b"")):
            with self.subTest(status=status, body=body):
                server = self.serve(
                    lambda method, _, nth: value(b"%d" % nth, nth) if method == "get" else (status, body)
                )
                self.heard = Heard()
                store = self.store(server, poll=0.01)
                server.wait("get", 5)
                self.assertEqual(len(server.of("watch")), 1)
                self.assertEqual(store.health().state, "polling")
                self.assertNotIn("failed", [event[0] for event in self.heard.events])
                store.close()

    def test_one_that_learns_to_watch(self):
        def answer(method, _, nth):
            if method == "get":
                return value(b"x", 1)
            return (404, b"not found\n") if nth == 1 else (200, [])

        with mock.patch.object(sotto, "_PROBE", 0.01):
            server = self.serve(answer)
            store = self.store(server)
            server.wait("watch", 3)
        self.assertEqual(store.health().state, "live")

    def test_failures_of_a_watch_are_not_that_there_is_none(self):
        for status in (401, 403, 500, 503):
            with self.subTest(status=status):
                server = self.serve(
                    lambda method, _, nth: value(b"x", 1) if method == "get" else (status, b"no\n") if nth < 4 else (200, [])
                )
                self.heard = Heard()
                store = self.store(server)
                self.heard.wait("failed", 3)
                server.wait("watch", 5)
                self.assertEqual(store.health().state, "live")
                self.assertIsNone(store.health().error)

    def test_retry_after(self):
        failure = sotto.SottoError("overloaded", "no", retry_after=7.0)
        store = self.store(self.serve(lambda *_: value(b"x", 1)), watch=False)
        self.assertGreaterEqual(store._back_off(failure, 1e6), min(7.0, sotto._MAX_WAIT))
        with mock.patch.object(sotto, "_MAX_WAIT", 300.0):
            waits = [store._back_off(failure, 2e6 + at) for at in range(20)]
            self.assertTrue(all(7.0 <= wait <= 307.0 for wait in waits))
            self.assertEqual(store._max_wait, 300.0)
            store._back_off(failure, 3e6)
            self.assertEqual(store._max_wait, 2.0)

    def test_one_that_tells_nothing_at_once_is_not_asked_in_a_circle(self):
        server = self.serve(lambda method, *_: value(b"x", 1) if method == "get" else (200, []))
        store = self.store(server)
        server.wait("watch", 2)
        told = store._turn(([], None), None, time.monotonic())
        self.assertGreater(told, 0.5)
        # Nor one that tells what is not so.
        told = store._turn(([{"Name": "a", "Version": 9, "Revision": 1}, {"Name": "b"}, 5], None), None, time.monotonic())
        self.assertGreater(told, 0.5)

    def test_an_answer_that_is_older_than_what_was_told(self):
        def answer(method, request, nth):
            if method == "watch":
                differs = request["Secrets"][0]["Version"] == 1
                told = [{"Name": "a", "Version": 2, "Revision": 9}] if differs else []
                return 200, told, {"Sotto-Revision": BRANCH + "9"}
            # The first is from before, and late.
            return value(b"old", 1, BRANCH + "5") if nth == 1 else value(b"%d" % nth, nth, BRANCH + ("8" if nth < 4 else "9"))

        store = self.store(self.serve(answer))
        self.heard.wait("changed")
        self.assertEqual(store.secret("a").text(), "4")
        self.assertIn(("failed", None, "rolled_back"), self.heard.events)

    def test_an_older_copy_of_the_server(self):
        def answer(method, request, nth):
            if method == "get":
                return value(b"new", 5, BRANCH + "50") if nth == 1 else value(b"old", 3, BRANCH + "30")
            # As if nothing were wrong, and then the values of the copy.
            return 200, [{"Name": "a", "Version": 3, "Revision": 29}], {"Sotto-Revision": BRANCH + ("50" if nth == 1 else "30")}

        server = self.serve(answer)
        store = self.store(server)
        self.heard.wait("failed", 3)
        self.assertEqual({event[2] for event in self.heard.events}, {"rolled_back"})
        self.assertEqual(store.secret("a").text(), "new")
        self.assertEqual(store.health().state, "stale")

    def test_another_branch_is_taken(self):
        def answer(method, request, nth):
            mark = BRANCH + "50" if len(server.of("watch")) == 0 else OTHER + "3"
            if method == "watch":
                return 200, [], {"Sotto-Revision": mark}
            if request.get("UpdateIfChanged"):
                return 304, None, {"Sotto-Revision": mark}
            # The same number, and another value.
            return value(b"one" if mark.startswith(BRANCH) else b"other", 5, mark)

        server = self.serve(answer)
        store = self.store(server)
        self.heard.wait("branch")
        self.assertEqual(store.secret("a").text(), "other")
        self.assertEqual([event[0] for event in self.heard.events], ["changed", "branch"])

    def test_what_is_refused_is_not_asked_for_in_a_circle(self):
        def answer(method, request, nth):
            if method == "get":
                return value(b"x", 1)
            if any(item["Name"] == "a" for item in request["Secrets"]):
                return 200, [{"Name": "a", "Denied": True, "Revision": 1}]
            return self.never()

        server = self.serve(answer)
        store = self.store(server, "a", "b")
        self.heard.wait("denied")
        server.wait("watch", 3)
        self.assertEqual(asked_for(server.of("watch")[1]), {"a": 0, "b": 1})
        self.assertEqual(asked_for(server.of("watch")[2]), {"b": 1})
        self.assertEqual(store.health().denied, ("a",))
        self.assertEqual(len(server.of("get")), 2)

    def test_a_lookup_is_watched_at_once(self):
        server = self.serve(lambda method, *_: value(b"x", 1) if method == "get" else self.never())
        store = self.store(server, lookup=True)
        server.wait("watch", 1)
        store.lookup("b")
        server.wait("watch", 2)
        self.assertEqual(asked_for(server.of("watch")[1]), {"a": 1, "b": 1})
        self.assertEqual(self.heard.events, [])

    def test_labels(self):
        server = self.serve(lambda *_: value(b"x", 1))

        def label(**options):
            sotto.Client(server.url, **options).get("a")
            return server.calls[-1][2]["Sotto-Client"]

        self.assertEqual(label(label="web-1"), "web-1")
        self.assertRegex(label(), "^[0-9a-f]{16}$")
        self.assertEqual(label(), label())
        for wrong in ("", "a b", "é", "x" * 65, "a\n"):
            with self.failure("usage"):
                sotto.Client(server.url, label=wrong)
        mine, (read, write) = label(), os.pipe()
        if os.fork() == 0:
            os.write(write, sotto._label.encode())
            os._exit(0)
        self.assertNotEqual(os.read(read, 64).decode(), mine)
        os.wait()
        os.close(read), os.close(write)

    def test_a_fork_leaves_what_its_parent_waits_for(self):
        def answer(method, _, nth):
            if method == "get":
                return value(b"x" * nth, nth)
            if nth == 1:
                child_is_gone.wait()
                return 200, [{"Name": "a", "Version": 2, "Revision": 1}]
            return self.never()

        child_is_gone = threading.Event()
        self.addCleanup(child_is_gone.set)
        server = self.serve(answer)
        store = self.store(server)
        server.wait("watch", 1)
        child = os.fork()
        if child == 0:
            store.close()
            os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        child_is_gone.set()
        self.heard.wait("changed")
        self.assertEqual([event[0] for event in self.heard.events], ["changed"])


class Failure:
    """Expects a SottoError with one of these codes."""

    def __init__(self, test, codes):
        self._test, self._codes = test, codes

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        self._test.assertIsInstance(error, sotto.SottoError)
        self._test.assertIn(error.code, self._codes, error)
        return True


if __name__ == "__main__":
    unittest.main()
