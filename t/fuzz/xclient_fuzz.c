/* Parameters of two XCLIENT commands, separated by LF. What was read of them
 * and is said again reads back as the same. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/xclient.h"
#include "t/fuzz/fuzz.h"

#define PREFIX "XCLIENT "

static void check_written(struct arena *arena,
			  const struct smtp_xclient *xclient, bool lmtp)
{
	struct smtp_xclient back = { .set = 0 };
	struct str out = STR_INIT;
	unsigned lines = smtp_xclient_write(&out, xclient, ~0U, lmtp), i;
	/* What is no domain is not sent. */
	unsigned sent = xclient->set & ~(unsigned)SMTP_XCLIENT_HELO;
	const char *at = str_c(&out), *end;
	struct err err;

	for (i = 0; i < lines; i++) {
		end = strstr(at, "\r\n");
		ASSERT(end != NULL && strncmp(at, PREFIX, strlen(PREFIX)) == 0);
		at += strlen(PREFIX);
		ASSERT(smtp_xclient_parse(arena, at, (size_t)(end - at), &back,
					  &err) == 0);
		at = end + 2;
	}
	ASSERT(at == str_c(&out) + out.len);
	ASSERT(smtp_xclient_equal(xclient, &back, sent));
	ASSERT((back.set & ~xclient->set) == 0);
	str_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = memchr(text, '\n', size);
	size_t first = end != NULL ? (size_t)(end - text) : size;
	struct arena *arena = arena_new(256), *other = arena_new(256);
	struct smtp_xclient xclient = { .set = 0 }, copy;
	struct addr remote = { .len = 0 }, local = { .len = 0 };
	struct err err;

	smtp_xclient_parse(other, text, first, &xclient, &err);
	if (first < size)
		smtp_xclient_parse(other, text + first + 1, size - first - 1,
				   &xclient, &err);
	smtp_xclient_copy(arena, &copy, &xclient);
	ASSERT(smtp_xclient_equal(&xclient, &copy, ~0U));
	arena_free(&other);
	check_written(arena, &copy, true);
	check_written(arena, &copy, false);
	smtp_xclient_apply(&copy, &remote, &local);
	ASSERT((remote.len > 0) == ((copy.set & SMTP_XCLIENT_ADDR) != 0));
	smtp_xclient_parse_listed(text, size);
	arena_free(&arena);
	return 0;
}
