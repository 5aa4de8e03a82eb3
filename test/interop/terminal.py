"""Runs a program on a terminal of its own and types answers to its prompts.

Arguments: the program and its arguments. Standard input: JSON, a list of [prompt, answer]; each
answer is typed once its prompt was shown. Standard output: JSON, {"screen": text, "code": number}.
"""
import json
import os
import pty
import select
import sys
import termios
import time

PATIENCE_S = 20


def wait_for_silence(terminal):
    """A program may show its prompt before it turns the echo off; one that never does is typed to too."""
    deadline = time.monotonic() + 2
    while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < deadline:
        time.sleep(0.01)


def main():
    dialogue = json.load(sys.stdin)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.argv[1], sys.argv[1:])
    screen = b""
    seen = 0
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if dialogue and dialogue[0][0].encode() in screen[seen:]:
            prompt, answer = dialogue.pop(0)
            seen += screen[seen:].index(prompt.encode()) + len(prompt)
            wait_for_silence(terminal)
            os.write(terminal, answer.encode())
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            os.kill(child, 9)
            break
        try:
            data = os.read(terminal, 65536)
        except OSError:
            break
        if not data:
            break
        screen += data
    _, status = os.waitpid(child, 0)
    json.dump({"screen": screen.decode(), "code": os.waitstatus_to_exitcode(status)}, sys.stdout)


main()
