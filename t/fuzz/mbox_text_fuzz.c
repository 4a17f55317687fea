/* A message for an mbox: no line of it is taken for the start of another message, and
 * it is the same however it comes in pieces. The first byte says in which. */
#include <string.h>

#include "backends/local/mbox/text.h"
#include "lib/panic.h"
#include "t/fuzz/fuzz.h"

static void write_all(struct str *out, const char *data, size_t len,
		      size_t piece)
{
	struct mbox_text text = MBOX_TEXT_INIT;
	size_t at, step;

	for (at = 0; at < len; at += step) {
		step = len - at < piece ? len - at : piece;
		mbox_text_add(&text, data + at, step, out);
	}
	mbox_text_end(&text, out);
}

static void check(const struct str *out)
{
	const char *at = out->data, *end = out->data + out->len;

	ASSERT(out->len >= 2 && memcmp(end - 2, "\n\n", 2) == 0);
	while (at < end) {
		ASSERT((size_t)(end - at) < 5 || memcmp(at, "From ", 5) != 0);
		at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str whole = STR_INIT, pieces = STR_INIT;

	if (size == 0)
		return 0;
	write_all(&whole, (const char *)data + 1, size - 1, size);
	write_all(&pieces, (const char *)data + 1, size - 1, data[0] % 20 + 1u);
	check(&whole);
	ASSERT(whole.len == pieces.len &&
	       memcmp(whole.data, pieces.data, whole.len) == 0);
	str_free(&whole);
	str_free(&pieces);
	return 0;
}
