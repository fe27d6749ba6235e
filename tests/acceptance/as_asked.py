"""A program that has another one do its work: its words, folder and variables go over a socket, and what it said back.

Python begins in hundredths of a second and the gateway does not, so the documents' tests let theirs be forked off one
that is loaded. The first word is the path of the socket.
"""

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    line.sendall(json.dumps({"words": sys.argv[2:], "cwd": os.getcwd(), "environ": dict(os.environ)}).encode())
    line.shutdown(socket.SHUT_WR)
    told = json.loads(b"".join(iter(lambda: line.recv(65536), b"")))
sys.stdout.write(told["out"])
sys.stderr.write(told["err"])
sys.exit(told["code"])
