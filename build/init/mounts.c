/*
 * File systems of the image. They are mounted under /rootfs while the init still sees the whole ramdisk; then /rootfs is
 * moved over the root, so that the init and its children are not in a "chroot" as the kernel understands it, which would
 * forbid them user namespaces.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

static const struct {
    const char *target, *type;
    unsigned long flags;
    const char *options;
} MOUNTS[] = {
    {"/rootfs/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"/rootfs/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL},
    {"/rootfs/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, "nsdelegate"},
    {"/rootfs/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL},
    {"/rootfs/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777"},
    {"/rootfs/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777"},
    {"/rootfs/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755"},
};

static void make_folder(const char *path) {
    struct stat found;
    if (mkdir(path, 0755) < 0 && errno != EEXIST) stop_because("cannot make", path);
    // A mount follows links, and an image with a link here would have it land elsewhere.
    if (lstat(path, &found) < 0) stop_because("cannot look at", path);
    if (!S_ISDIR(found.st_mode)) stop(text_format("%s is not a folder in this image", path));
}

void mounts_make(void) {
    make_folder("/rootfs");
    if (mount("/rootfs", "/rootfs", NULL, MS_BIND, NULL) < 0) stop_because("cannot bind", "/rootfs");
    for (size_t i = 0; i < sizeof MOUNTS / sizeof *MOUNTS; i++) {
        make_folder(MOUNTS[i].target);
        if (mount(MOUNTS[i].type, MOUNTS[i].target, MOUNTS[i].type, MOUNTS[i].flags, MOUNTS[i].options) < 0) {
            stop_because("cannot mount", MOUNTS[i].target);
        }
    }
}

void mounts_enter(void) {
    if (chdir("/rootfs") < 0) stop_because("cannot enter", "/rootfs");
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0) stop_because("cannot move", "/rootfs");
    if (chroot(".") < 0) stop_because("cannot change the root to", "/rootfs");
    if (chdir("/") < 0) stop_because("cannot enter", "/");
}
