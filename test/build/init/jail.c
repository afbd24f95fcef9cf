/*
 * What the init starts in the test of bubblewrap. As the gate would, it starts bubblewrap as another user, with this same
 * program to run inside; both tell what they are and may.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534 };
static const char *const NAMESPACES[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};

static void tell(const char *where, const char *name, const char *value) {
    printf("{\"accord\":\"%s\",\"name\":\"%s\",\"value\":\"%s\"}\n", where, name, value);
}

static const char *refusal(bool allowed) {
    return allowed ? "allowed" : strerror(errno);
}

static void tell_status(const char *where, const char *field) {
    char line[256], value[128] = "";
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) {
        const size_t length = strlen(field);
        if (strncmp(line, field, length) == 0 && line[length] == ':') sscanf(line + length + 1, " %127s", value);
    }
    if (status) fclose(status);
    tell(where, field, value);
}

static void tell_names(const char *where, const char *what, const char *path) {
    char names[512] = "";
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.' || strlen(names) + strlen(entry->d_name) + 2 > sizeof names) continue;
        if (strcmp(path, "/proc") == 0 && strspn(entry->d_name, "0123456789") != strlen(entry->d_name)) continue;
        strcat(strcat(names, entry->d_name), " ");
    }
    if (folder) closedir(folder);
    tell(where, what, names);
}

static void tell_all(const char *where) {
    for (size_t i = 0; i < sizeof NAMESPACES / sizeof *NAMESPACES; i++) {
        char path[64], value[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", NAMESPACES[i]);
        const ssize_t got = readlink(path, value, sizeof value - 1);
        value[got > 0 ? got : 0] = '\0';
        tell(where, NAMESPACES[i], value);
    }
    const char *fields[] = {"Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) tell_status(where, fields[i]);
}

static void look_from_inside(void) {
    tell_all("inside");
    tell_names("inside", "root", "/");
    tell_names("inside", "processes", "/proc");
    tell("inside", "write", refusal(open("/file", O_WRONLY | O_CREAT, 0600) >= 0));
    tell("inside", "write program", refusal(open("/program", O_WRONLY) >= 0));
    tell("inside", "become root", refusal(setuid(0) == 0));
    tell("inside", "signal", refusal(kill(2, SIGKILL) == 0));
    struct if_nameindex *devices = if_nameindex();
    for (int i = 0; devices && devices[i].if_index; i++) tell("inside", "device", devices[i].if_name);
}

int main(int count, char **arguments) {
    setlinebuf(stdout);
    if (count > 1 && strcmp(arguments[1], "inside") == 0) {
        look_from_inside();
        return 7;
    }
    tell_all("outside");
    const pid_t child = fork();
    if (child == 0) {
        if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0) return 1;
        execl("/usr/bin/bwrap", "bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--uid",
              "65534", "--gid", "65534", "--disable-userns", "--ro-bind", "/program", "/program", "--proc", "/proc",
              "--remount-ro", "/", "--chdir", "/", "--as-pid-1", "--", "/program", "inside", (char *)NULL);
        return 2;
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}
