/*
 * The kernel's command line. The image measures its beginning; the hypervisor appends where its virtio devices are, which
 * nobody measures. Anything else appended (another init, a weaker kernel) must not lead to a running program:
 *
 *     actual   = measured *( SP device ) *SP [ LF ]
 *     device   = "virtio_mmio.device=" 1*( ALPHA / DIGIT / "@" / ":" )
 */
#include <string.h>

#include "init.h"

static const char DEVICE[] = "virtio_mmio.device=";
static const char DEVICE_CHARACTERS[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz@:";

const char *command_line_fault(const char *actual, const char *measured) {
    const size_t length = strlen(measured);
    if (strncmp(actual, measured, length) != 0) return "the kernel's command line is not the one of the image";
    const char *at = actual + length;
    for (;;) {
        const size_t spaces = strspn(at, " ");
        at += spaces;
        if (*at == '\0' || (at[0] == '\n' && at[1] == '\0')) return NULL;
        if (spaces == 0 || strncmp(at, DEVICE, sizeof DEVICE - 1) != 0) break;
        at += sizeof DEVICE - 1;
        const size_t value = strspn(at, DEVICE_CHARACTERS);
        if (value == 0) break;
        at += value;
    }
    return text_format("the kernel's command line holds more than the image measures: %.200s", at);
}
