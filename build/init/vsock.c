/*
 * Streams to the parent over AF_VSOCK, none of which may ever hold the enclave up: on some bridges a refusal is lost and a
 * stream's end is never seen.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

const unsigned vsock_parents[PARENTS] = {3, 2};

enum { HEARTBEAT_PORT = 9000, HEARTBEAT_MS = 1000 };
static const unsigned char HEARTBEAT = 0xB7;

/* linux/vm_sockets.h, which needs other headers than musl's. */
struct vm_address {
    uint16_t family, reserved;
    uint32_t port, cid;
    uint32_t zero;
};

/* A stream that is being opened, or -1. */
int vsock_dial(unsigned cid, unsigned port) {
    const struct vm_address address = {.family = AF_VSOCK, .port = port, .cid = cid};
    const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS) return fd;
    close(fd);
    return -1;
}

/* Whether the stream is open by now; `failed` where it never will be. */
bool vsock_dialled(int fd, bool *failed) {
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t length = sizeof error;
    *failed = false;
    if (poll(&wait, 1, 0) <= 0) return false;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    *failed = error != 0 || (wait.revents & (POLLERR | POLLHUP)) != 0;
    return !*failed;
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Tells the parent that the enclave has booted, as nitro-cli expects: one byte, which comes back. Both possible parents are
 * tried at the same time. Returns the CID of the one that answered, 0 when none did within a second; nothing but the report
 * depends on it.
 */
unsigned heartbeat(void) {
    struct pollfd wait[PARENTS];
    bool sent[PARENTS] = {false};
    unsigned answered = 0;
    const long until = now_ms() + HEARTBEAT_MS;
    for (int i = 0; i < PARENTS; i++) {
        wait[i] = (struct pollfd){.fd = vsock_dial(vsock_parents[i], HEARTBEAT_PORT), .events = POLLOUT};
    }
    while (answered == 0 && (wait[0].fd >= 0 || wait[1].fd >= 0)) {
        const long left = until - now_ms();
        if (left <= 0 || poll(wait, PARENTS, (int)left) <= 0) break;
        for (int i = 0; i < PARENTS; i++) {
            unsigned char byte;
            bool failed = false;
            if (wait[i].fd < 0 || wait[i].revents == 0) continue;
            if (sent[i]) {
                failed = recv(wait[i].fd, &byte, 1, MSG_DONTWAIT) != 1 || byte != HEARTBEAT;
                if (!failed) answered = vsock_parents[i];
            } else if (vsock_dialled(wait[i].fd, &failed)) {
                failed = send(wait[i].fd, &HEARTBEAT, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1;
                sent[i] = true;
                wait[i].events = POLLIN;
            }
            if (failed) {
                close(wait[i].fd);
                wait[i].fd = -1;
            }
        }
    }
    for (int i = 0; i < PARENTS; i++) {
        if (wait[i].fd >= 0) close(wait[i].fd);
    }
    return answered;
}
