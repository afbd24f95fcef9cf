/*
 * Keys are made soon after the start, in a machine without disk, keyboard or network to take randomness from. The Nitro
 * Security Module has a source; the kernel must have it, and 64 bytes of it are mixed in and credited before anything
 * else runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

static const char SOURCE[] = "nsm-hwrng";
static const char CURRENT[] = "/rootfs/sys/class/misc/hw_random/rng_current";
enum { SEED_BYTES = 64, TRIES = 100, TRY_MS = 50 };

static bool is_current(void) {
    if (access(CURRENT, R_OK) < 0) return false;
    const char *name = text_read(CURRENT, NULL);
    return strncmp(name, SOURCE, sizeof SOURCE - 1) == 0 && strcmp(name + sizeof SOURCE - 1, "\n") == 0;
}

const char *entropy_require(void) {
    // The driver is part of the kernel, but the device may be found late.
    for (int tries = 0; !is_current(); tries++) {
        if (tries == TRIES) stop("no entropy: nsm-hwrng is not the kernel's source of randomness");
        nanosleep(&(struct timespec){.tv_nsec = TRY_MS * 1000000L}, NULL);
    }
    struct {
        struct rand_pool_info info;
        unsigned char bytes[SEED_BYTES];
    } seed = {.info = {.entropy_count = 8 * SEED_BYTES, .buf_size = SEED_BYTES}};
    const int from = open("/rootfs/dev/hwrng", O_RDONLY | O_CLOEXEC);
    if (from < 0) stop_because("no entropy: cannot open", "/dev/hwrng");
    for (size_t done = 0; done < SEED_BYTES;) {
        const ssize_t got = read(from, seed.bytes + done, SEED_BYTES - done);
        if (got <= 0) stop_because("no entropy: cannot read", "/dev/hwrng");
        done += (size_t)got;
    }
    close(from);
    const int to = open("/rootfs/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (to < 0) stop_because("no entropy: cannot open", "/dev/urandom");
    if (ioctl(to, RNDADDENTROPY, &seed) < 0) stop_because("no entropy: cannot add to", "/dev/urandom");
    close(to);
    explicit_bzero(&seed, sizeof seed);
    unsigned char byte;
    if (getrandom(&byte, 1, GRND_NONBLOCK) != 1) stop_because("no entropy:", "the kernel's generator is not ready");
    return SOURCE;
}
