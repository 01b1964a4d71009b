#include "proc/crash.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "base/log.h"
#include "base/own.h"

extern const char __executable_start[];
extern const char etext[];

enum { FRAMES_MAX = 24, ALT_STACK_BYTES = 32 * 1024 };

static char *stack_top;

/* Follows saved frame pointers (the build keeps them) as long as they rise within the stack. */
static void walk(uintptr_t pc, uintptr_t frame, uintptr_t sp, char *out, size_t size) {
    size_t at = 0;
    for (int i = 0; i < FRAMES_MAX && at + 24 < size; i++) {
        uintptr_t base = (uintptr_t)__executable_start;
        bool own = pc >= base && pc < (uintptr_t)etext;
        at += (size_t)snprintf(out + at, size - at, own ? "%s+0x%" PRIxPTR : "%s0x%" PRIxPTR,
                               i ? " " : "", own ? pc - base : pc);
        if (frame < sp || frame % sizeof(uintptr_t) || frame + 16 > (uintptr_t)stack_top) return;
        pc = ((const uintptr_t *)frame)[1];
        sp = frame + 1;
        frame = ((const uintptr_t *)frame)[0];
    }
}

static void on_crash(int signum, siginfo_t *info, void *context) {
    char frames[640] = "";
#ifdef __x86_64__
    const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    walk((uintptr_t)regs[REG_RIP], (uintptr_t)regs[REG_RBP], (uintptr_t)regs[REG_RSP], frames,
         sizeof frames);
#else
    (void)context;
#endif
    log_error("crashed", "signal=%d address=%p frames=\"%s\"", signum, info->si_addr, frames);
    raise(signum); /* SA_RESETHAND: now it kills */
}

void crash_setup(void) {
    static char alt_stack[ALT_STACK_BYTES];
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    stack_top = (char *)__builtin_frame_address(0) + 1024; /* frames of callers up to main */
    sigaltstack(&(stack_t){.ss_sp = alt_stack, .ss_size = sizeof alt_stack}, NULL);
    struct sigaction sa = {.sa_sigaction = on_crash,
                           .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK};
    for (size_t i = 0; i < ARRAY_LEN(signals); i++) sigaction(signals[i], &sa, NULL);
}
