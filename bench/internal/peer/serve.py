"""Answers requests, one JSON object a line, from standard input: each names a
method of an object by "do", the rest are its arguments, and what it returns is
written as one line of JSON to standard output. A request that fails is answered
with {"error": TEXT}.
"""

import json
import os
import signal
import sys


def serve(peer):
    # Ctrl-C goes to every process of the terminal; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = getattr(peer, request.pop("do"))(**request)
        except Exception as error:  # the other side decides what to do about it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
