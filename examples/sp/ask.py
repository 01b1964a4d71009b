#!/usr/bin/python3
"""Asks for the double of each number: ask.py DIR NUMBER…"""
import socket
import sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(f"{sys.argv[1]}/req")
for number in sys.argv[2:]:
    s.send(number.encode())
    print(number, "→", s.recv(1 << 20).decode())
