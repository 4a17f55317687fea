#include "lib/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/panic.h"

/* For small blocks glibc's calloc() does not look where malloc() finds them at
 * once; for large ones it knows which are zero already. */
#define SMALL_SIZE 1024

void *mem_alloc(size_t size)
{
	bool small = size <= SMALL_SIZE;
	void *ptr = small ? malloc(size > 0 ? size : 1) : calloc(1, size);

	if (ptr == NULL)
		PANIC("out of memory (%zu bytes)", size);
	return small ? memset(ptr, 0, size) : ptr;
}

void *mem_realloc(void *ptr, size_t size)
{
	void *grown = realloc(ptr, size > 0 ? size : 1);

	if (grown == NULL)
		PANIC("out of memory (%zu bytes)", size);
	return grown;
}

char *mem_strdup(const char *text)
{
	return mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t len)
{
	char *copy = mem_alloc(len + 1);

	memcpy(copy, text, len);
	return copy;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		PANIC("out of memory (formatting)");
	va_end(ap);
	return text;
}

void mem_release(void *ptr)
{
	free(ptr);
}

void mem_keep(size_t bytes)
{
#ifdef __GLIBC__
	mallopt(M_TRIM_THRESHOLD, (int)bytes);
#else
	(void)bytes;
#endif
}
