"""Runs a program on a terminal of its own and talks to it as a person would.

Reads one JSON object from stdin: "argv", "env", "dialog" (pairs of what must be seen and what is
typed then; null in place of keys sends SIGTERM) and optionally "stdout", a file for the program's stdout,
"columns", the width of the terminal, and "patience", the seconds that it may take.
test/support/terminal.ts runs it.
Writes one JSON object: "screen" (all that the terminal showed), "exit" (the code, or the negative
number of the signal), "echo" (whether the terminal shows keys again) and "missed" (what was waited
for in vain, or null).
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

PATIENCE = 20.0


def start(script, slave):
    pid = os.fork()
    if pid != 0:
        return pid
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    if "stdout" in script:
        os.dup2(os.open(script["stdout"], os.O_WRONLY | os.O_CREAT, 0o600), 1)
    os.execve(script["argv"][0], script["argv"], script["env"])


class Screen:
    def __init__(self, master, patience):
        self.master = master
        self.patience = patience
        self.text = b""
        self.seen = 0

    def read(self, wait):
        if not select.select([self.master], [], [], wait)[0]:
            return False
        try:
            self.text += os.read(self.master, 65536)
        except OSError:
            return False
        return True

    def await_text(self, wanted):
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            at = self.text.find(wanted, self.seen)
            if at >= 0:
                self.seen = at + len(wanted)
                return True
            self.read(0.05)
        return False


def await_silence(slave):
    """A program may show its prompt before it turns the echo off; one that never does is typed to too."""
    end = time.monotonic() + 2
    while termios.tcgetattr(slave)[3] & termios.ECHO and time.monotonic() < end:
        time.sleep(0.01)


def wait(pid, screen):
    end = time.monotonic() + screen.patience
    while time.monotonic() < end:
        screen.read(0.01)
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


def main():
    script = json.load(sys.stdin)
    master, slave = pty.openpty()
    if "columns" in script:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, script["columns"], 0, 0))
    pid = start(script, slave)
    screen = Screen(master, script.get("patience", PATIENCE))
    missed = None
    for wanted, keys in script["dialog"]:
        if not screen.await_text(wanted.encode()):
            missed = wanted
            break
        await_silence(slave)
        if keys is None:
            os.kill(pid, 15)
        else:
            os.write(master, keys.encode())
    code = wait(pid, screen)
    while screen.read(0.05):
        pass
    echo = bool(termios.tcgetattr(slave)[3] & termios.ECHO)
    shown = screen.text.decode(errors="replace")
    json.dump({"screen": shown, "exit": code, "echo": echo, "missed": missed}, sys.stdout)


main()
