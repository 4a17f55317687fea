/* A request's head: cut anywhere it wants more, or is refused already; what is
 * taken holds to what the header promises. */
#include <string.h>

#include "lib/http/head.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static void check_head(const struct http_head *head, struct arena *arena,
		       size_t size)
{
	unsigned i;

	ASSERT(head->size <= size && head->size <= HTTP_HEAD_MAX);
	ASSERT(head->path[0] == '/' && head->method[0] != '\0');
	ASSERT(strpbrk(head->method, " \r\n") == NULL);
	ASSERT(strpbrk(head->query, " \r\n") == NULL);
	for (i = 0; i < head->field_count; i++)
		ASSERT(strpbrk(head->fields[i].value, "\r\n") == NULL);
	(void)http_head_param(head, arena, "a");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(1024);
	char *text = memcpy(mem_alloc(size), data, size); /* no NUL behind it */
	struct http_head head, part;
	size_t cut = size > 0 ? data[0] % size : 0;
	int got, sooner;

	got = http_head_parse(&head, arena, text, size);
	sooner = http_head_parse(&part, arena, text, cut);
	ASSERT(sooner <= 0 || got == sooner);
	ASSERT(sooner >= 0 || got == sooner);
	if (got > 0)
		check_head(&head, arena, size);
	mem_free(&text);
	arena_free(&arena);
	return 0;
}
