"""URL patterns, topics, and which match which by an independent library: python url_patterns.py > url_patterns.json

Needs `urlpattern` (pip install urlpattern==0.3.1). A pattern that the library refuses has no answers.
"""

import json
import random
import sys

from urlpattern import URLPattern

BASE = "https://hub.example/.well-known/mercure"
random.seed(6570)
origins = ["https://example.com", "http://example.com", "https://example.com:8443", ""]
more_origins = origins + ["https://EXAMPLE.com", "https://example.com:443", "https://example.com.evil", "https://user@example.com", "ftp://example.com", "https:", "/", "//example.com", "x"]
segments = ["books", "a", "users", "42", "caf\u00e9", "a.b", "~"]
variables = [":id", ":page", ":id", "b-:id", "*", "x*", ":id*", ":id?", "{a}", "(a|b)", ":id.json", ":", ":1", "*", ":a:b"]
more_segments = segments + ["1", "b-1", "xy", "..", ".", "%2e", "%2E%2e", "", "a b", "%41", "%2F", "a\\b", "?q", "1?q=/r", "1#f", "#", "A", "*", ":id", "a:b", "caf%C3%A9", "\\..\\a", "x", "b-"]


def some(firsts, parts, most):
    return random.choice(firsts) + "".join("/" + random.choice(parts) for _ in range(random.randint(1, most)))


patterns = {some(origins, segments + variables, 3) for _ in range(160)}
topics = {some(more_origins, more_segments, 4) for _ in range(500)}
# Those that could match, with a segment that could be anything.
for pattern in sorted(patterns):
    for _ in range(3):
        topic = "".join(random.choice(more_segments) if part in [":id", ":page", "*"] else part for part in pattern.replace("/", "\0/\0").split("\0"))
        topics.add(topic)
patterns, topics = sorted(patterns), sorted(topics)


def answers(text):
    try:
        pattern = URLPattern(text, BASE)
    except Exception:
        return None
    answer = ""
    for topic in topics:
        try:
            answer += "1" if pattern.test(topic, BASE) else "0"
        except Exception:
            answer += "0"
    return f"{int('1' + answer, 2):x}"


json.dump({"topics": topics, "patterns": {text: answers(text) for text in patterns}}, sys.stdout, indent=0)
print()
