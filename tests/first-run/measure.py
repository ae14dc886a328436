"""Measures README's first command, twice, in the checkout that contains this file.

Prints seconds from the command to the first streamed token of the answer. bare-machine.sh runs it
on a machine with nothing but Rust and Python; it runs anywhere else too.
"""

import fcntl
import os
import pathlib
import re
import selectors
import subprocess
import sys
import time

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# What the fixtures of an example answer.
MESSAGES = {"weather": "What is the weather like in Oslo?", "haiku": "A haiku about rain, please."}
# Seconds on two cores.
COLD_WITHOUT_COMPILING = 20
WARM = 3


def first_command():
    """The first command of the README that runs agents."""
    readme = (CHECKOUT / "README.md").read_text()
    return re.search(r"^cargo xtask dev .*$", readme, re.MULTILINE).group().split()


def run(command, agent, message):
    """Runs it with one message; returns seconds until it was compiled, and until the answer began."""
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, "--message", message],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    selector = selectors.DefaultSelector()
    texts = {process.stdout: b"", process.stderr: b""}
    for stream in texts:
        selector.register(stream, selectors.EVENT_READ)
    compiled = answered = None
    while selector.get_map():
        for key, _ in selector.select():
            chunk = os.read(key.fd, 65536)
            if not chunk:
                selector.unregister(key.fileobj)
                continue
            texts[key.fileobj] += chunk
            now = time.monotonic() - started
            # What `steadfast dev` says first, when it has read the manifests.
            if compiled is None and f"{agent}: revision".encode() in texts[process.stderr]:
                compiled = now
            if answered is None and re.search(f"{agent}: .".encode(), texts[process.stdout]):
                answered = now
    output, status = (texts[stream].decode() for stream in (process.stdout, process.stderr))
    if process.wait() != 0 or compiled is None or answered is None:
        sys.exit(f"{' '.join(command)} failed ({process.returncode}):\n{output}\n{status}")
    print(output, flush=True)
    print("the answer called a tool" if "╭ call " in output else "the answer called no tool", flush=True)
    return compiled, answered


def wait_for_end():
    """Waits until the programs of the last run have ended: nobody starts the next one in that second."""
    with open(CHECKOUT / ".steadfast" / "children.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def main():
    command = first_command()
    agent = pathlib.Path(command[-1]).name
    message = MESSAGES.get(agent, "Hello.")
    print(f"$ {' '.join(command)} --message {message!r}", flush=True)
    started = time.monotonic()
    subprocess.run(["cargo", "fetch", "--quiet", "--locked"], cwd=CHECKOUT, check=True)
    fetched = time.monotonic() - started
    compiled, answered = run(command, agent, message)
    wait_for_end()
    _, warm = run(command, agent, message)
    rest = fetched + answered - compiled
    rows = [
        ("cold: crates are downloaded", fetched, None),
        ("cold: everything is compiled", compiled, None),
        ("cold: Temporal and Valkey are downloaded and started, and the answer begins", answered - compiled, None),
        ("cold: all but compiling", rest, COLD_WITHOUT_COMPILING),
        ("warm: from the command to the first token of the answer", warm, WARM),
    ]
    for name, seconds, bound in rows:
        limit = f"  (at most {bound} s)" if bound else ""
        print(f"{seconds:8.1f} s  {name}{limit}")
    if any(bound and seconds > bound for _, seconds, bound in rows):
        sys.exit("a figure is over its bound")


if __name__ == "__main__":
    main()
