/* What link.c and link_out.c share. */
#pragma once

#include "sp/links/link.h"

/* Sends what waits in l->out. True: all of it is gone. */
bool sp_link_flush(struct sp_link *l);
void sp_link_pipe_flush(struct sp_pipe *p); /* sp_pipe_ops.flush */
