/* A value of XRCPTFORWARD=. What was read and is written again reads back as
 * the same. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/forward.h"
#include "t/fuzz/fuzz.h"

static void check_same(const struct smtp_forward *a,
		       const struct smtp_forward *b)
{
	size_t i;

	ASSERT(a->count == b->count);
	for (i = 0; i < a->count; i++) {
		const char *x = a->fields[i].value, *y = b->fields[i].value;

		ASSERT(strcmp(a->fields[i].key, b->fields[i].key) == 0);
		ASSERT((x == NULL) == (y == NULL));
		ASSERT(x == NULL || strcmp(x, y) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(256);
	const char *value = arena_strndup(arena, (const char *)data, size);
	struct smtp_forward forward, back;
	struct str out = STR_INIT;
	struct err err;

	/* A "=" in a key, from an unknown escape, is what cannot be said. */
	if (smtp_forward_parse(arena, value, &forward, &err) == 0 &&
	    smtp_forward_write(&out, &forward, &err) == 0) {
		ASSERT(out.len <= SMTP_FORWARD_MAX);
		ASSERT(smtp_forward_parse(arena, str_c(&out), &back, &err) ==
		       0);
		check_same(&forward, &back);
	}
	str_free(&out);
	arena_free(&arena);
	return 0;
}
