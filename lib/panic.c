#include "lib/panic.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log/log.h"

/* Set by the first panic: the log may be what fails. */
static atomic_flag panicking = ATOMIC_FLAG_INIT;

void panic_at(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "waypost: panic: %s:%d: %s\n", file, line, text);
	if (!atomic_flag_test_and_set(&panicking) && !log_is_stderr())
		log_fatal(NULL, "panic: %s:%d: %s", file, line, text);
	abort();
}
