#!/bin/sh
# Publishes one message: publish.sh DIR MESSAGE. Type 5 is SOCK_SEQPACKET.
printf '%s' "$2" | socat -u - "UNIX-CONNECT:$1/pub,type=5"
