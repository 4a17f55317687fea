/* lda_command: the value of its variables, a NUL, the setting. Whatever the value is,
 * there are as many arguments as words, and the value is in those whose word has a
 * variable. */
#include <string.h>

#include "backends/local/lda/args.h"
#include "lib/panic.h"
#include "lib/str.h"
#include "t/fuzz/fuzz.h"

/* A variable is the value, without looking at its name. */
static const char *expand(struct arena *arena, const void *context,
			  const char *word, struct err *err)
{
	const char *at = strchr(word, '%');

	(void)err;
	if (at == NULL || at[1] == '%')
		return arena_strdup(arena, word);
	return arena_concat(arena,
			    arena_strndup(arena, word, (size_t)(at - word)),
			    context, "");
}

static void check(const struct lda_args *args, const struct lda_args *plain)
{
	size_t i;
	bool options = true;

	ASSERT(args->count == plain->count && args->list[args->count] == NULL);
	for (i = 0; i < args->count; i++) {
		if (options && args->list[i][0] == '-')
			ASSERT(plain->list[i][0] == '-');
		options = options && strcmp(plain->list[i], "--") != 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *nul = memchr(data, '\0', size);
	struct arena *arena = arena_new(512);
	const char *value, *text;
	struct lda_args args, plain;
	struct err err;

	if (nul != NULL) {
		value = (const char *)data;
		text = arena_strndup(arena, (const char *)nul + 1,
				     size - (size_t)(nul + 1 - data));
		lda_args_check(text, &err);
		if (lda_args_make(&args, arena, text, expand, value, &err) ==
			    0 &&
		    lda_args_make(&plain, arena, text, expand, "x", &err) == 0)
			check(&args, &plain);
	}
	arena_free(&arena);
	return 0;
}
