/*
 * The first process of the enclave. It brings up what one program needs, starts that program, and tells why it ended.
 *
 * Nothing that comes from outside the image changes what it does: of the host it reads one byte (the heartbeat's) and
 * forgets it, and a kernel command line with more on it than the image measures ends the machine.
 *
 * Every line it reports is one JSON object:
 *
 *     {"accord":"init","entropy":"nsm-hwrng","heartbeat":2}
 *     {"accord":"exited","code":N}
 *     {"accord":"exited","signal":N,"outOfMemory":true|false}
 *     {"accord":"exited","reason":"…"}                            the init itself could not go on
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "init.h"

enum { LAST_WORDS_MS = 1000 };

static _Noreturn void end_with(const char *line) {
    report_line(line);
    report_flush(LAST_WORDS_MS);
    reboot(RB_AUTOBOOT);
    for (;;) pause();
}

_Noreturn void stop(const char *reason) {
    static bool stopping;
    // What fails while a failure is reported has nobody left to tell.
    if (stopping) {
        reboot(RB_AUTOBOOT);
        for (;;) pause();
    }
    stopping = true;
    end_with(text_format("{\"accord\":\"exited\",\"reason\":\"%s\"}", text_json(reason)));
}

_Noreturn void stop_because(const char *doing, const char *with) {
    stop(text_format("%s %s: %s", doing, with, strerror(errno)));
}

/* Whatever the kernel opened: numbers 0 to 2 are taken, so that nothing else gets them. */
static void take_standard_streams(void) {
    int fd;
    do fd = open("/rootfs/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0) stop_because("cannot open", "/dev/null");
    close(fd);
}

int main(void) {
    if (getpid() != 1) return 1;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);

    mounts_make();
    take_standard_streams();
    report_open();

    const char *fault = command_line_fault(text_read("/rootfs/proc/cmdline", NULL), ACCORD_COMMAND_LINE);
    if (fault) stop(fault);
    cgroups_make();
    const char *entropy = entropy_require();

    const unsigned parent = heartbeat();
    report_line(text_format("{\"accord\":\"init\",\"entropy\":\"%s\",\"heartbeat\":%s}", text_json(entropy),
                            parent ? text_format("%u", parent) : "null"));
    end_with(program_run());
}
