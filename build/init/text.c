/* Texts on the heap. Nothing is freed: the init makes a few of them and then waits. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

enum { READ_MAX = 1 << 20 };

char *text_format(const char *format, ...) {
    va_list arguments;
    char *text;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    // The only way left to say it without memory.
    if (length < 0) abort();
    return text;
}

/* A file of at most 1 MiB, whole and ended with a zero. `length` may be NULL where the file cannot hold zeros. */
char *text_read(const char *path, size_t *length) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) stop_because("cannot open", path);
    char *text = malloc(READ_MAX + 1);
    if (!text) stop_because("cannot read", path);
    size_t done = 0;
    for (;;) {
        const ssize_t got = read(fd, text + done, READ_MAX + 1 - done);
        if (got < 0) stop_because("cannot read", path);
        if (got == 0) break;
        done += (size_t)got;
        if (done > READ_MAX) stop(text_format("%s is larger than 1 MiB", path));
    }
    close(fd);
    text[done] = '\0';
    if (length) *length = done;
    return text;
}

/* `text` as it may stand between quotes in JSON: printable ASCII, all else as a question mark. */
char *text_json(const char *text) {
    char *json = malloc(2 * strlen(text) + 1), *at = json;
    if (!json) abort();
    for (; *text; text++) {
        const char c = *text;
        if (c == '"' || c == '\\') *at++ = '\\';
        *at++ = c >= ' ' && c <= '~' ? c : '?';
    }
    *at = '\0';
    return json;
}
