#!/usr/bin/python3
"""Prints what a topology publishes: subscribe.py DIR [PREFIX…]; DIR is such as /run/atoll/sp/quotes."""
import socket
import sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(f"{sys.argv[1]}/sub")
for prefix in sys.argv[2:] or [""]:
    s.send(b"+" + prefix.encode())          # one send is one message; + subscribes, - ends that
    assert s.recv(1 << 20)[:1] == b"+"      # the same comes back: from now on nothing is missed
while message := s.recv(1 << 20):           # one recv is one message
    print(message.decode(), flush=True)
