// Failure reports of the test programs: a message for each, and the exit status.
#ifndef AFL_CHECK_H
#define AFL_CHECK_H

#include <stdarg.h>
#include <stdio.h>

static int failures;

__attribute__((format(printf, 2, 3))) static inline void check(bool holds, const char *format, ...) {
	if (holds || ++failures > 20)
		return;
	va_list list;
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	putchar('\n');
}

#endif
