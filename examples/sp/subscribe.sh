#!/bin/sh
# Prints what a topology publishes: subscribe.sh DIR [FILTER]. The file sub@FILTER is subscribed when connect() returns, so nothing has to be said first; sub@ means
# everything. Messages follow each other without a mark between them: publish them with a newline at the end, or use another language.
exec socat -u "UNIX-CONNECT:$1/sub@$2,type=5" -
