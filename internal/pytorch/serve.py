"""Serves requests: JSON objects from standard input, one per line. "do" names a method
of an object and the other entries are its arguments. The result is written to standard
output as a line of JSON, or {"error": TEXT} if the method fails.
"""

import json
import os
import signal
import sys


def serve(peer):
    # Ctrl-C goes to every process of the terminal; the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Output of libraries must not mix with the responses.
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            response = getattr(peer, request.pop("do"))(**request)
        except Exception as error:  # reported to the parent
            response = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(response), file=responses, flush=True)
