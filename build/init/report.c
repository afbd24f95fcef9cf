/*
 * The life line: each line goes to the console, and over vsock to port 8003 of the parent. The parent may be absent, slow
 * or hostile: nothing is read from it, at most 16 KiB wait for it, and what does not fit is dropped, line by line.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

enum { REPORT_PORT = 8003, WAITING_MAX = 16384, DRAIN_STEP_MS = 10 };
#define UNSENT_BYTES 0x5411 /* SIOCOUTQ */

static int console = -1;
static int streams[PARENTS] = {-1, -1};
static bool open_streams[PARENTS];
static char waiting[WAITING_MAX];
static size_t waiting_bytes;

static void drop(int i) {
    close(streams[i]);
    streams[i] = -1;
}

void report_open(void) {
    console = open("/rootfs/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    for (int i = 0; i < PARENTS; i++) streams[i] = vsock_dial(vsock_parents[i], REPORT_PORT);
}

/* Sends what waits to the first parent that has taken the stream, and gives up the other. */
static void pump(void) {
    for (int i = 0; i < PARENTS; i++) {
        bool failed = false;
        if (streams[i] < 0) continue;
        if (!open_streams[i]) open_streams[i] = vsock_dialled(streams[i], &failed);
        if (failed) drop(i);
        if (streams[i] < 0 || !open_streams[i]) continue;
        for (int other = 0; other < PARENTS; other++) {
            if (other != i && streams[other] >= 0) drop(other);
        }
        if (waiting_bytes == 0) return;
        const ssize_t sent = send(streams[i], waiting, waiting_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            waiting_bytes -= (size_t)sent;
            memmove(waiting, waiting + sent, waiting_bytes);
        } else if (errno != EAGAIN && errno != EINTR) {
            drop(i);
        }
        return;
    }
}

/* `line` has no line break of its own, and at most 1000 bytes. */
void report_line(const char *line) {
    char ended[LINE_MAX_BYTES + 2];
    const size_t length = (size_t)snprintf(ended, sizeof ended, "%.*s\n", LINE_MAX_BYTES, line);
    if (console >= 0 && write(console, ended, length) < 0) {
        // There is nobody to tell.
    }
    if (waiting_bytes + length <= WAITING_MAX) {
        memcpy(waiting + waiting_bytes, ended, length);
        waiting_bytes += length;
    }
    pump();
}

/* As ppoll, without limit, over `others` and the life line. `others` has room for the life line's streams behind it. */
int report_poll(struct pollfd *others, int count, const sigset_t *signals) {
    nfds_t all = (nfds_t)count;
    for (int i = 0; i < PARENTS; i++) {
        if (streams[i] < 0 || (open_streams[i] && waiting_bytes == 0)) continue;
        others[all++] = (struct pollfd){.fd = streams[i], .events = POLLOUT};
    }
    const int ready = ppoll(others, all, NULL, signals);
    pump();
    return ready;
}

static bool on_the_way(void) {
    if (waiting_bytes > 0) return true;
    for (int i = 0; i < PARENTS; i++) {
        int unsent = 0;
        if (streams[i] >= 0 && ioctl(streams[i], UNSENT_BYTES, &unsent) == 0 && unsent > 0) return true;
    }
    return false;
}

/* Waits until the hypervisor has taken everything that was reported, but no longer than told. */
void report_flush(int milliseconds) {
    for (int left = milliseconds; left > 0 && on_the_way(); left -= DRAIN_STEP_MS) {
        if (streams[0] < 0 && streams[1] < 0) return;
        nanosleep(&(struct timespec){.tv_nsec = DRAIN_STEP_MS * 1000000L}, NULL);
        pump();
    }
}
