#!/usr/bin/python3
"""Answers requests with twice their number: answer.py DIR. Start it as often as there are processors: requests are shared out."""
import socket
import sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(f"{sys.argv[1]}/rep")
while request := s.recv(1 << 20):
    s.send(str(2 * int(request)).encode())
