#include "lib/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"

#define ARENA_BLOCK_MAX (64 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t next_size;
};

static size_t arena_round(size_t size)
{
	const size_t align = alignof(max_align_t);

	return (size + align - 1) / align * align;
}

/* Zeroed in pieces, as they are given out: most of the last block is never
 * used. */
static struct arena_block *arena_block_new(size_t size,
					   struct arena_block *next)
{
	struct arena_block *block = mem_realloc(NULL, sizeof(*block) + size);

	block->size = size;
	block->used = 0;
	block->next = next;
	return block;
}

/* The arena itself stands in its first block. */
struct arena *arena_new(size_t size)
{
	const size_t own = arena_round(sizeof(struct arena));
	struct arena_block *block = arena_block_new(own + size, NULL);
	struct arena *arena = (struct arena *)block->data;

	block->used = own;
	arena->blocks = block;
	arena->next_size = size;
	return arena;
}

void arena_free(struct arena **arena)
{
	struct arena_block *block, *next;

	if (*arena == NULL)
		return;
	for (block = (*arena)->blocks; block != NULL; block = next) {
		next = block->next;
		mem_release(block);
	}
	*arena = NULL;
}

void arena_wipe(struct arena **arena)
{
	struct arena_block *block, *next;

	if (*arena == NULL)
		return;
	for (block = (*arena)->blocks; block != NULL; block = next) {
		next = block->next;
		explicit_bzero(block->data, block->used);
		mem_release(block);
	}
	*arena = NULL;
}

static struct arena_block *arena_grow(struct arena *arena, size_t size)
{
	if (arena->next_size < ARENA_BLOCK_MAX)
		arena->next_size *= 2;
	if (size < arena->next_size)
		size = arena->next_size;
	arena->blocks = arena_block_new(size, arena->blocks);
	return arena->blocks;
}

static void *arena_take(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	void *ptr;

	size = arena_round(size);
	if (block->size - block->used < size)
		block = arena_grow(arena, size);
	ptr = block->data + block->used;
	block->used += size;
	return ptr;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	return memset(arena_take(arena, size), 0, size);
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	char *copy = arena_take(arena, len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *arena_concat(struct arena *arena, const char *a, const char *b,
		   const char *c)
{
	size_t a_len = strlen(a), b_len = strlen(b), c_len = strlen(c);
	char *text = arena_take(arena, a_len + b_len + c_len + 1);

	memcpy(text, a, a_len);
	memcpy(text + a_len, b, b_len);
	memcpy(text + a_len + b_len, c, c_len + 1);
	return text;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	text = arena_alloc(arena, (size_t)len + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return text;
}
