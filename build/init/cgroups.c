/*
 * Two control groups (Linux, Documentation/admin-guide/cgroup-v2.rst): one that has processes can have no bounded groups
 * below it, so the program gets a group beside those of its jails.
 *
 *     /sys/fs/cgroup/gate     the init and the program
 *     /sys/fs/cgroup/jails    empty; the program makes a group in it for each of its jails, with bounds of its own
 *
 * All jails together get one part of the processors where the program wants a hundred: whatever computes in them, and with
 * how many threads, does not hold up the program.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define GROUPS "/rootfs/sys/fs/cgroup"

static const char CONTROLLERS[] = "+cpu +memory +pids";
static const char JAILS_WEIGHT[] = "1", THIS_PROCESS[] = "0";

static void make_group(const char *path) {
    if (mkdir(path, 0755) < 0) stop_because("cannot make", path);
}

static void set(const char *path, const char *value) {
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) stop_because("cannot open", path);
    if (write(fd, value, strlen(value)) < 0) stop_because("cannot write", path);
    close(fd);
}

void cgroups_make(void) {
    make_group(GROUPS "/gate");
    set(GROUPS "/gate/cgroup.procs", THIS_PROCESS);
    set(GROUPS "/cgroup.subtree_control", CONTROLLERS);
    make_group(GROUPS "/jails");
    set(GROUPS "/jails/cpu.weight", JAILS_WEIGHT);
    set(GROUPS "/jails/cgroup.subtree_control", CONTROLLERS);
}
