/*
 * What the init starts in these tests. The first argument says how it behaves; what it prints tells what it was given.
 *
 *     exit N · signal N · memory · orphans · lines · look
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
    const char *folders[] = {"/proc", "/sys", "/dev", "/dev/shm", "/tmp", "/run"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (stat(folders[i], &found) < 0) tell("absent", folders[i]);
    }
    tell("nsm", stat("/dev/nsm", &found) == 0 ? "there" : "absent");
    tell("tcp", refusal(socket(AF_INET, SOCK_STREAM, 0) >= 0));
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
    return 0;
}
