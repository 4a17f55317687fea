/* xtext: any bytes, written and read, are the same again; and so is what was
 * read of any text. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/xtext.h"
#include "t/fuzz/fuzz.h"

static void check_round_trip(struct arena *arena, const char *text, size_t len)
{
	struct str out = STR_INIT;
	size_t i, back_len;
	char *back;

	smtp_xtext_write(&out, text, len);
	for (i = 0; i < out.len; i++)
		ASSERT(out.data[i] > ' ' && out.data[i] <= '~' &&
		       out.data[i] != '=');
	back = smtp_xtext_parse(arena, out.data, out.len, &back_len);
	ASSERT(back != NULL && back_len == len);
	ASSERT(len == 0 || memcmp(back, text, len) == 0);
	ASSERT(back[len] == '\0');
	str_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(256);
	const char *text = (const char *)data;
	size_t len, utf8_len;
	char *parsed, *utf8;

	check_round_trip(arena, text, size);
	parsed = smtp_xtext_parse(arena, text, size, &len);
	utf8 = smtp_xtext_parse_utf8(arena, text, size, &utf8_len);
	/* Whatever ASCII can say is the same to both. */
	ASSERT(parsed == NULL ||
	       (utf8 != NULL && utf8_len == len &&
		memcmp(parsed, utf8, len) == 0));
	if (parsed != NULL)
		check_round_trip(arena, parsed, len);
	if (utf8 != NULL)
		check_round_trip(arena, utf8, utf8_len);
	arena_free(&arena);
	return 0;
}
