/* Memory: allocation cannot fail (it dies with a message) and comes zeroed. */
#ifndef LIB_MEM_H
#define LIB_MEM_H

#include <stddef.h>

/* Returns size zeroed bytes; size 0 gives a pointer that may be freed. */
void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));

/* Resizes ptr (NULL allowed) to size bytes. Bytes past the old size are not
 * zeroed. */
void *mem_realloc(void *ptr, size_t size) __attribute__((returns_nonnull));

/* Copies of text; release with mem_free(). */
char *mem_strdup(const char *text) __attribute__((returns_nonnull));
char *mem_strndup(const char *text, size_t len)
	__attribute__((returns_nonnull));
char *mem_printf(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), returns_nonnull));

/* Frees *ptr and sets it to NULL; *ptr may be NULL already. */
#define mem_free(ptr) \
	do { \
		mem_release(*(ptr)); \
		*(ptr) = NULL; \
	} while (0)
void mem_release(void *ptr);

/* From now on each thread may keep that many freed bytes at the end of its heap.
 * What is given back to the system is zeroed page by page when the next message
 * needs it. */
void mem_keep(size_t bytes);

#define mem_new(type) ((type *)mem_alloc(sizeof(type)))

/* The object of the given type whose member is at ptr. */
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

#endif
