/* Prints what a topology publishes: subscribe DIR [PREFIX]. Connects again when the service has
 * restarted: the file never goes. cc -o subscribe subscribe.c */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int subscribe(const char *directory, const char *prefix) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char wish[256];
    int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sub", directory);
    int n = snprintf(wish, sizeof wish, "+%s", prefix);
    if (connect(s, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(s, wish, (size_t)n, MSG_NOSIGNAL) == n)
        return s;
    perror(address.sun_path);
    close(s);
    return -1;
}

int main(int argc, char **argv) {
    static char message[1 << 20];
    if (argc < 2) return fprintf(stderr, "usage: subscribe DIR [PREFIX]\n"), 2;
    for (;; poll(NULL, 0, 1000)) {
        int s = subscribe(argv[1], argc > 2 ? argv[2] : "");
        ssize_t n;
        while (s >= 0 && (n = recv(s, message, sizeof message, 0)) > 0) {
            printf("%.*s\n", (int)n, message); /* the first one is the wish, granted */
            fflush(stdout);
        }
        if (s >= 0) close(s);
    }
}
