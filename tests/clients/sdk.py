"""Asks a model's server through the SDK of a vendor, as often as it is told, and prints what the SDK gives back.

    sdk.py <openai|anthropic>

Input and output are those of sdk.mjs.
"""

import json
import os
import sys


def report(value):
    print(json.dumps(value), flush=True)


def openai():
    from openai import OpenAI

    def create(origin, ask):
        client = OpenAI(api_key="none", base_url=f"{origin}/v1", max_retries=0)
        return client.chat.completions.create(**ask, stream=True)

    def read(chunk):
        choice = chunk.choices[0]
        return choice.delta.content, choice.finish_reason

    return create, read


def anthropic():
    from anthropic import Anthropic

    def create(origin, ask):
        client = Anthropic(api_key="none", base_url=origin, max_retries=0)
        return client.messages.create(**ask, stream=True)

    def read(event):
        delta = getattr(event, "delta", None)
        return getattr(delta, "text", None), getattr(delta, "stop_reason", None)

    return create, read


def answer(create, read, task):
    words, reason = 0, ""
    stream = create(task["origin"], task["ask"])
    for event in stream:
        text, ends = read(event)
        reason = ends or reason
        if not text:
            continue
        report({"type": "text", "data": text})
        words += 1
        if words == task["abort_after"]:
            stream.close()
            report({"type": "aborted"})
            return
    report({"type": "end", "data": reason})


def main():
    create, read = {"openai": openai, "anthropic": anthropic}[sys.argv[1]]()
    for line in sys.stdin:
        try:
            answer(create, read, json.loads(line))
        except Exception as error:
            status = getattr(error, "status_code", None)
            report({"type": "error", "data": f"{type(error).__name__}: {error}", "status": status})


main()
sys.stdout.flush()
os._exit(0)
