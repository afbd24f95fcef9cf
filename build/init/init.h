/* The parts of the init; each is one file, and `init.c` tells the order. */
#ifndef ACCORD_INIT_H
#define ACCORD_INIT_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

/* The text that the image measures, without what the hypervisor appends. Given when compiling. */
#ifndef ACCORD_COMMAND_LINE
#error "ACCORD_COMMAND_LINE is not defined"
#endif

/* text.c: all of it ends in `stop` rather than in a cut text. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *text_read(const char *path, size_t *length);
char *text_json(const char *text);

/* mounts.c: the file systems under /rootfs, which becomes the root of this process. */
void mounts_make(void);
void mounts_enter(void);

/* cgroups.c: groups for the program and for its jails. Everything that is started from then on is in the program's. */
void cgroups_make(void);

/* command-line.c: what is wrong with the kernel's command line, or NULL. */
const char *command_line_fault(const char *actual, const char *measured);

/* entropy.c: stops unless the hypervisor's random numbers feed the kernel's. Returns the source's name. */
const char *entropy_require(void);

/* vsock.c: the parent stands at CID 3 on Nitro and at CID 2 in QEMU. */
enum { PARENTS = 2 };
extern const unsigned vsock_parents[PARENTS];
int vsock_dial(unsigned cid, unsigned port);
bool vsock_dialled(int fd, bool *failed);
unsigned heartbeat(void);

/* report.c: the life line. */
enum { LINE_MAX_BYTES = 1000 };
struct pollfd;
void report_open(void);
void report_line(const char *line);
void report_flush(int milliseconds);
int report_poll(struct pollfd *others, int count, const sigset_t *signals);

/* program.c: starts what /cmd says and copies its reports until it ends. Returns the last line to report. */
char *program_run(void);

/* init.c: reports `reason` and ends the machine. */
_Noreturn void stop(const char *reason);
_Noreturn void stop_because(const char *doing, const char *with);

#endif
