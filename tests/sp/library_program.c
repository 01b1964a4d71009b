/* A program with libatoll-sp: prints what it receives of a prefix, a message a line, until `end`.
 */
#include <atoll/sp.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    char b[256];
    struct sp *s = argc > 2 ? sp_open(argv[1], "sub") : NULL;
    if (!s || sp_subscribe(s, argv[2], strlen(argv[2])) < 0) {
        perror("open");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (ssize_t n; (n = sp_recv(s, b, sizeof(b), 0)) >= 0;) {
        printf("%.*s\n", (int)n, b);
        if (n >= 3 && memcmp(b + n - 3, "end", 3) == 0) break;
    }
    printf("lost %llu\n", (unsigned long long)sp_lost(s));
    sp_close(s);
    return 0;
}
