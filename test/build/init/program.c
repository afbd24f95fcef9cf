/*
 * What the init starts in these tests. The first argument says how it behaves; what it prints tells what it was given.
 *
 *     exit N · signal N · memory · orphans · lines · look · groups
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *read_line(const char *path) {
    static char text[4096];
    const int fd = open(path, O_RDONLY);
    const ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[got > 0 ? got : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void tell(const char *name, const char *value) {
    printf("{\"accord\":\"%s\",\"value\":\"%s\"}\n", name, value);
}

static void tell_number(const char *name, long value) {
    printf("{\"accord\":\"%s\",\"value\":%ld}\n", name, value);
}

static const char *refusal(bool allowed) {
    return allowed ? "allowed" : strerror(errno);
}

/* Processes but this one and the init; a zombie is one that nobody reaped. */
static long others(bool zombies) {
    long count = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char path[300];
        const long id = strtol(entry->d_name, NULL, 10);
        if (id <= 1 || id == getpid()) continue;
        snprintf(path, sizeof path, "/proc/%ld/stat", id);
        // Kernel threads have the parent 2.
        const char *state = strrchr(read_line(path), ')');
        if (!state || strstr(state, " 2 0 0 ") || id == 2) continue;
        if (zombies == (state[2] == 'Z')) count++;
    }
    if (folder) closedir(folder);
    return count;
}

/* A grandchild whose parent is gone, which ends: the init is its parent now. */
static void leave_orphans(void) {
    for (int i = 0; i < 3; i++) {
        const pid_t child = fork();
        if (child == 0) {
            if (fork() == 0) {
                usleep(300000);
                _exit(7);
            }
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    tell_number("orphans", others(false));
    fflush(stdout);
    usleep(1500000);
    tell_number("left", others(false));
    tell_number("zombies", others(true));
}

static void print_lines(void) {
    puts("{\"other\":1}");
    puts("not a report {\"accord\":\"hidden\"}");
    printf("{\"accord\":\"long\",\"value\":\"");
    for (int i = 0; i < 2000; i++) putchar('x');
    puts("{\"accord\":\"inside\"}\"}");
    // As long as a line may be: 1000 bytes with the braces.
    const int head = printf("{\"accord\":\"edge\",\"value\":\"");
    for (int i = head; i < 998; i++) putchar('y');
    puts("\"}");
    fputs("{\"accord\":\"console\"}\n", stderr);
    printf("{\"accord\":\"unended\"}");
}

static void look(void) {
    struct stat found;
    char path[256];
    tell("cmdline", read_line("/proc/cmdline"));
    tell("release", read_line("/proc/sys/kernel/osrelease"));
    tell("source", read_line("/sys/class/misc/hw_random/rng_current"));
    if (mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL) < 0) tell("securityfs", strerror(errno));
    tell("lockdown", read_line("/sys/kernel/security/lockdown"));
    const ssize_t got = readlink("/proc/self/exe", path, sizeof path - 1);
    path[got > 0 ? got : 0] = '\0';
    tell("program", path);
    const char *absent[] = {"/init", "/env", "/cmd", "/rootfs", "/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore",
                            "/proc/kallsyms", "/proc/modules", "/sys/kernel/debug/tracing", "/proc/sysrq-trigger"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        if (stat(absent[i], &found) == 0) tell("present", absent[i]);
    }
    const char *folders[] = {"/proc", "/sys", "/sys/fs/cgroup/jails", "/dev", "/dev/shm", "/tmp", "/run"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (stat(folders[i], &found) < 0) tell("absent", folders[i]);
    }
    tell("nsm", stat("/dev/nsm", &found) == 0 ? "there" : "absent");
    const struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    tell("tcp", refusal(connect(socket(AF_INET, SOCK_STREAM, 0), (const struct sockaddr *)&self, sizeof self) == 0));
    tell("packet", refusal(socket(AF_PACKET, SOCK_RAW, 0) >= 0));
    tell("vsock", refusal(socket(AF_VSOCK, SOCK_STREAM, 0) >= 0));
    tell("input", read(0, path, 1) == 0 ? "empty" : "not empty");
    tell("user namespace", refusal(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS) == 0));
    fflush(stdout);
}

static void use_up_memory(void) {
    for (;;) {
        char *more = malloc(1 << 20);
        if (more) memset(more, 1, 1 << 20);
    }
}

static const char *set(const char *path, const char *value) {
    const int fd = open(path, O_WRONLY);
    const bool done = fd >= 0 && write(fd, value, strlen(value)) >= 0;
    const char *said = refusal(done);
    if (fd >= 0) close(fd);
    return said;
}

#define JAILS "/sys/fs/cgroup/jails"

static void fork_beyond_the_bound(void) {
    const pid_t second = fork();
    if (second == 0) for (;;) pause();
    exit(second > 0 && fork() < 0 && errno == EAGAIN ? 11 : 12);
}

static void wait_for_ever(void) {
    for (;;) pause();
}

/* Runs `work` as a process of the group `a`; the number of the signal that ended it, or its exit code. */
static int ended_in_group(void (*work)(void), bool ended_by_group) {
    int ready[2], status;
    if (pipe(ready) < 0) return -1;
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ready[1]);
        if (read(ready[0], &byte, 1) == 0) work();
        _exit(0);
    }
    char number[16];
    snprintf(number, sizeof number, "%d", child);
    tell("entered", set(JAILS "/a/cgroup.procs", number));
    close(ready[0]);
    close(ready[1]);
    if (ended_by_group) {
        usleep(100000);
        tell("kill", set(JAILS "/a/cgroup.kill", "1"));
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void make_groups(void) {
    setlinebuf(stdout); // what waits to be written would be written by each child, too
    tell("own", read_line("/proc/self/cgroup"));
    tell("controllers", read_line(JAILS "/cgroup.subtree_control"));
    tell("weight", read_line(JAILS "/cpu.weight"));
    tell("made", refusal(mkdir(JAILS "/a", 0755) == 0));
    tell("bounded", set(JAILS "/a/memory.max", "8388608"));
    tell("bounded", set(JAILS "/a/pids.max", "2"));
    tell_number("memory", ended_in_group(use_up_memory, false));
    tell_number("processes", ended_in_group(fork_beyond_the_bound, false));
    tell("kill", set(JAILS "/a/cgroup.kill", "1"));
    tell_number("killed", ended_in_group(wait_for_ever, true));
    usleep(200000);
    tell("removed", refusal(rmdir(JAILS "/a") == 0));
    fflush(stdout);
    if (fork() == 0) {
        if (setgid(65534) < 0 || setuid(65534) < 0) _exit(1);
        tell("made by another", refusal(mkdir(JAILS "/b", 0755) == 0));
        tell("left by another", set("/sys/fs/cgroup/cgroup.procs", "0"));
        exit(0);
    }
    wait(NULL);
    // The first process, whose end the init reports, is ended for other reasons than a jail's want of memory.
    raise(SIGKILL);
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "";
    tell("how", how);
    tell("policy", getenv("ACCORD_POLICY") ? getenv("ACCORD_POLICY") : "");
    fflush(stdout);
    if (!strcmp(how, "exit")) return atoi(arguments[2]);
    if (!strcmp(how, "signal")) raise(atoi(arguments[2]));
    if (!strcmp(how, "memory")) use_up_memory();
    if (!strcmp(how, "orphans")) leave_orphans();
    if (!strcmp(how, "lines")) print_lines();
    if (!strcmp(how, "look")) look();
    if (!strcmp(how, "groups")) make_groups();
    return 0;
}
