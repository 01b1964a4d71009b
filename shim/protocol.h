/*
 * What the broker (and, on attach sockets, the node) and atoll-shim say to each other over the
 * pod's shim.sock, a unix stream socket. Frames have the layout of proc/ipc: u32 body length, u16
 * type, u16 zero, u32 id, body; little-endian integers; strings and bytes have a u32 length. A
 * reply repeats the id of its request; id 0 marks events. A malformed frame, or one above
 * SHIM_FRAME_BYTES_MAX, cuts the connection.
 *
 * A connection starts as a control connection (root only: the socket's directory is 0700). After
 * SHIM_ATTACH it is an attach stream and accepts only SHIM_INPUT, SHIM_INPUT_END and SHIM_RESIZE,
 * so it may be handed to an unprivileged process.
 */
#pragma once

enum {
    SHIM_HEADER_BYTES = 12,
    SHIM_FRAME_BYTES_MAX = 256 * 1024,
    SHIM_ID_BYTES_MAX = 64,
    SHIM_PATH_BYTES_MAX = 4095,
    SHIM_ARGS_MAX = 64,
    SHIM_LINE_BYTES_MAX = 16 * 1024, /* a longer line is written as partial (P) records */
    SHIM_ATTACH_QUEUE_BYTES =
        256 * 1024,                     /* a slower reader is cut off; the container never waits */
    SHIM_STDIN_QUEUE_BYTES = 64 * 1024, /* a full queue stops reading from the attach sockets */
};

enum shim_flag {
    SHIM_FLAG_TTY = 1,
    SHIM_FLAG_STDIN = 2,      /* keep a pipe open as standard input */
    SHIM_FLAG_STDIN_ONCE = 4, /* close it when the first attach session ends */
};

enum shim_msg {
    /* Control requests */
    SHIM_START = 1, /* str id, u8 flags, str log path, u64 log bytes, u32 log files, str pid file,
                       str exit file, str console socket ("" without tty), u32 n, str argv[n].
                       Runs argv (an OCI runtime that detaches), waits for it, adopts the process
                       named in the pid file. */
    SHIM_START_OK = 2,     /* u32 pid */
    SHIM_START_FAILED = 3, /* u32 exit code of argv (128+n for signal n), str what it wrote */
    SHIM_SIGNAL = 4,       /* str id, u32 signal → SHIM_DONE; ESRCH when not running */
    SHIM_REMOVE = 5,       /* str id → SHIM_DONE; EBUSY while it runs; forgets the container */
    SHIM_LIST = 6,         /* → SHIM_LIST_OK */
    SHIM_LIST_OK = 7, /* u32 n, n × (str id, bool running, u32 pid (0: starting), u32 code, u32
                         signal, i64 started ns, i64 finished ns) */
    SHIM_QUIT = 8,    /* kills what runs and exits; no reply but the end of the connection */
    SHIM_DONE = 9,
    SHIM_FAILED = 10, /* u32 errno */

    /* Events on control connections; on an attach stream SHIM_EXITED is the last frame */
    SHIM_EXITED = 11, /* str id, u32 code, u32 signal, i64 started ns, i64 finished ns */

    SHIM_STARTED = 19, /* str id, u32 pid: a start succeeded that another connection, maybe gone,
                          had asked for (when it failed: SHIM_EXITED with both times 0) */

    /* Attach */
    SHIM_ATTACH = 12,    /* str id → SHIM_ATTACH_OK or SHIM_FAILED */
    SHIM_ATTACH_OK = 13, /* from now on an attach stream */
    SHIM_STDOUT = 14,    /* id 0, body: raw bytes (also the only stream of a tty) */
    SHIM_STDERR = 15,
    SHIM_INPUT = 16,     /* raw bytes */
    SHIM_INPUT_END = 17, /* closes standard input */
    SHIM_RESIZE = 18,    /* u16 width, u16 height */
};
