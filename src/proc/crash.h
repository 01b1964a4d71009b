/* A dying service leaves one log line: the signal and where it was, as offsets for addr2line. */
#pragma once

void crash_setup(void);
