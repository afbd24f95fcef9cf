/*
 * The program of the image: /cmd holds one argument a line, the first an absolute path; /env one NAME=value a line. Its
 * standard input is empty, its standard error is the console, and its standard output is a pipe of which complete lines
 * that start with `{"accord":` are reported. Everything else it prints is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init.h"

enum { LINES_MAX = 256 };
static const char REPORT[] = "{\"accord\":";

/* The lines of a file, ended with NULL. A last line without a line break counts. */
static char **lines_of(const char *path) {
    size_t length;
    char *text = text_read(path, &length);
    char **lines = calloc(LINES_MAX + 1, sizeof *lines);
    if (!lines) stop_because("cannot read", path);
    if (strlen(text) != length) stop(text_format("%s holds a zero", path));
    size_t count = 0;
    for (char *at = text; *at;) {
        if (count == LINES_MAX) stop(text_format("%s has more than %d lines", path, LINES_MAX));
        char *end = strchr(at, '\n');
        lines[count++] = at;
        if (!end) break;
        *end = '\0';
        at = end + 1;
    }
    return lines;
}

/* How often the kernel ended a process of the program's own group for want of memory: the program alone is in it. */
static long out_of_memory_kills(void) {
    const char *at = strstr(text_read("/sys/fs/cgroup/gate/memory.events", NULL), "\noom_kill ");
    return at ? strtol(at + strlen("\noom_kill "), NULL, 10) : 0;
}

static void redirect(int from, int to) {
    if (from < 0 || dup2(from, to) < 0) _exit(errno);
}

/* Starts the program and stops if it cannot be started. `out` becomes the reading end of its standard output. */
static pid_t start(char **arguments, char **environment, int *out) {
    int pipe_fds[2], failure[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0 || pipe2(failure, O_CLOEXEC) < 0) stop_because("cannot make", "a pipe");
    const pid_t child = fork();
    if (child < 0) stop_because("cannot start", arguments[0]);
    if (child == 0) {
        sigset_t none;
        sigemptyset(&none);
        redirect(open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
        redirect(pipe_fds[1], STDOUT_FILENO);
        redirect(open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC), STDERR_FILENO);
        setsid();
        signal(SIGCHLD, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execve(arguments[0], arguments, environment);
        const int error = errno;
        if (write(failure[1], &error, sizeof error) < 0) _exit(2);
        _exit(1);
    }
    close(pipe_fds[1]);
    close(failure[1]);
    int error;
    if (read(failure[0], &error, sizeof error) == sizeof error) {
        errno = error;
        stop_because("cannot start", arguments[0]);
    }
    close(failure[0]);
    *out = pipe_fds[0];
    fcntl(*out, F_SETFL, O_NONBLOCK);
    return child;
}

/* Takes what the program has written and reports its lines; closes `out` at its end. */
static void copy_reports(int *out) {
    static char line[LINE_MAX_BYTES + 1];
    static size_t bytes;
    char piece[4096];
    ssize_t got;
    while (*out >= 0 && (got = read(*out, piece, sizeof piece)) != 0) {
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR) return;
            break;
        }
        for (ssize_t i = 0; i < got; i++) {
            if (piece[i] != '\n') {
                // A line that is too long keeps counting, so that its end is not taken for a line.
                if (bytes < LINE_MAX_BYTES) line[bytes] = piece[i];
                bytes++;
                continue;
            }
            if (bytes <= LINE_MAX_BYTES) {
                line[bytes] = '\0';
                if (strncmp(line, REPORT, sizeof REPORT - 1) == 0 && strlen(line) == bytes) report_line(line);
            }
            bytes = 0;
        }
    }
    if (*out >= 0) close(*out);
    *out = -1;
}

/* Reaps what has ended. True once that is the program itself. */
static bool reap(pid_t program, int *status) {
    pid_t ended;
    int found;
    bool over = false;
    while ((ended = waitpid(-1, &found, WNOHANG)) > 0) {
        if (ended != program) continue;
        *status = found;
        over = true;
    }
    return over;
}

static void on_child(int signal_number) {
    (void)signal_number;
}

char *program_run(void) {
    char **environment = lines_of("/env"), **arguments = lines_of("/cmd");
    if (!arguments[0] || arguments[0][0] != '/') stop("/cmd does not name a program by its absolute path");
    mounts_enter();
    sigset_t none;
    sigemptyset(&none);
    const struct sigaction action = {.sa_handler = on_child};
    sigaction(SIGCHLD, &action, NULL);
    const long kills = out_of_memory_kills();
    int out, status;
    const pid_t program = start(arguments, environment, &out);
    // Signals are let in only while waiting, so that the end of a child is never missed between two steps.
    while (!reap(program, &status)) {
        struct pollfd wait[1 + PARENTS] = {{.fd = out, .events = POLLIN}};
        report_poll(wait, 1, &none);
        copy_reports(&out);
    }
    copy_reports(&out);
    if (WIFEXITED(status)) return text_format("{\"accord\":\"exited\",\"code\":%d}", WEXITSTATUS(status));
    const bool memory = WTERMSIG(status) == SIGKILL && out_of_memory_kills() > kills;
    return text_format("{\"accord\":\"exited\",\"signal\":%d,\"outOfMemory\":%s}", WTERMSIG(status),
                       memory ? "true" : "false");
}
