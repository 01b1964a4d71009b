#!/usr/bin/python3
"""Publishes each line of standard input: publish.py DIR; DIR is such as /run/atoll/sp/quotes."""
import socket
import sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(f"{sys.argv[1]}/pub")
for line in sys.stdin:
    s.send(line.rstrip("\n").encode())
