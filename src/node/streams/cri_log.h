/*
 * Container log lines in CRI form: "TIME STREAM FLAGS MESSAGE", flag P for a part whose line goes
 * on, F for a full one (Kubernetes CRI, kuberuntime log format). Pure.
 */
#pragma once

#include "base/slice.h"

struct cri_line {
    struct slice time, message;
    bool is_stderr, partial;
};

/* line without its newline. 0 or -EBADMSG. */
int cri_line_parse(struct slice line, struct cri_line *ret);
