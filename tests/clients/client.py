"""Runs httpx-sse and prints what it reports, one JSON object per line.

    client.py httpx-sse <url> [--types a,b] [--until end] [--timeout 60]
        [--header 'Name: value']... [--parent-pipe]

Output and exit codes are those of client.mjs. --types is accepted and ignored: this client
delivers events of every type.
"""

import argparse
import json
import os
import sys
import threading
import time

import httpx
from httpx_sse import SSEError, connect_sse


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["httpx-sse"])
    parser.add_argument("url")
    parser.add_argument("--types", default="")
    parser.add_argument("--until", default="end")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--parent-pipe", action="store_true")
    return parser.parse_args()


def leave(code, message):
    """Ends the program from any thread."""
    print(f"httpx-sse: {message}", file=sys.stderr, flush=True)
    os._exit(code)


def report(value):
    print(json.dumps(value), flush=True)


def wait_for_parent():
    sys.stdin.buffer.read()
    leave(1, "the starting program ended")


def one_connection(client, args, state):
    headers = dict(line.split(":", 1) for line in args.header)
    headers = {name.strip(): value.strip() for name, value in headers.items()}
    if state["id"]:
        headers["Last-Event-ID"] = state["id"].encode()
    with connect_sse(client, "GET", args.url, headers=headers) as source:
        if source.response.status_code != 200:
            leave(1, f"closed for good: status {source.response.status_code}")
        report({"open": True})
        for sse in source.iter_sse():
            # As in the README: whatever the client reports is what it resumes from.
            state["id"] = sse.id
            if sse.retry is not None:
                state["retry"] = sse.retry / 1000
            report({"type": sse.event, "data": sse.data, "id": sse.id})
            if sse.event == args.until:
                return True
    return False


def main():
    args = parse_args()
    timer = threading.Timer(
        args.timeout, leave, (3, f'no "{args.until}" event within {args.timeout:g} s')
    )
    timer.daemon = True
    timer.start()
    if args.parent_pipe:
        threading.Thread(target=wait_for_parent, daemon=True).start()

    state = {"id": "", "retry": 3.0}
    # httpx gives up on a read after 5 s by default, less than any keep-alive interval.
    with httpx.Client(timeout=None, trust_env=False) as client:
        while True:
            try:
                if one_connection(client, args, state):
                    return
            except SSEError as error:
                leave(1, f"closed for good: {error}")
            except httpx.TransportError as error:
                print(f"httpx-sse: {error!r}", file=sys.stderr)
            time.sleep(state["retry"])


try:
    main()
except Exception as error:  # anything else is a plain failure, not a traceback
    leave(1, repr(error))
# Threads blocked on stdin would hold up a normal interpreter exit.
sys.stdout.flush()
os._exit(0)
