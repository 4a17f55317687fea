/* Arena: memory that lives and goes together, such as the strings of one
 * transaction. Not thread-safe; one owner. */
#ifndef LIB_ARENA_H
#define LIB_ARENA_H

#include <stddef.h>

struct arena;

/* Creates an arena whose first block holds about size bytes (later blocks
 * double up to 64 KiB). */
struct arena *arena_new(size_t size);

/* Frees everything allocated from *arena and clears the pointer; NULL is
 * fine. */
void arena_free(struct arena **arena);

/* The same for an arena with secrets: nothing of them stays in memory. */
void arena_wipe(struct arena **arena);

/* Returns size zeroed bytes aligned for any type, valid until arena_free(). */
void *arena_alloc(struct arena *arena, size_t size)
	__attribute__((returns_nonnull));

char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_concat(struct arena *arena, const char *a, const char *b,
		   const char *c);
char *arena_printf(struct arena *arena, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define arena_new_struct(arena, type) \
	((type *)arena_alloc((arena), sizeof(type)))

#endif
