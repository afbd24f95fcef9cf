/* Prints what the init finds wrong with its first argument, measured against the second. */
#include <stdarg.h>
#include <stdio.h>

#include "init.h"

char *text_format(const char *format, ...) {
    static char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const char *fault = command_line_fault(arguments[1], arguments[2]);
    puts(fault ? fault : "sound");
    return fault ? 1 : 0;
}
