#include "backends/local/mbox/part.h"

#include <criterion/criterion.h>
#include <string.h>

static struct mbox_part part;

static bool read_bytes(const char *data, size_t len)
{
	memset(&part, 0x55, sizeof(part));
	return mbox_part_read(&part, data, len);
}

#define READ(text) read_bytes(text, sizeof(text) - 1)

Test(mbox_part, is_read_as_it_was_written)
{
	struct str text = STR_INIT;

	mbox_part_write(&text, 123456789012, "\n\nFrom x\n", 9);
	cr_assert(read_bytes(text.data, text.len));
	cr_expect_eq(part.at, 123456789012);
	cr_expect_eq(part.start_len, 9);
	cr_expect_eq(memcmp(part.start, "\n\nFrom x\n", 9), 0);
	while (text.len-- > 0)
		cr_expect_not(read_bytes(text.data, text.len), "%zu", text.len);
	cr_expect_eq(part.start_len, 0);
	text.len = 0;
	str_free(&text);
}

Test(mbox_part, what_is_none)
{
	cr_expect(READ("\0" "0\0a\0"));
	cr_expect_not(READ(""));
	cr_expect_not(READ("\0"));
	cr_expect_not(READ("\0\0"));
	cr_expect_not(READ("\0\0a\0"));
	cr_expect_not(READ("\0" "0\0"));
	cr_expect_not(READ("\0" "0\0\0"));
	cr_expect_not(READ("\0-1\0a\0"));
	cr_expect_not(READ("\0 1\0a\0"));
	cr_expect_not(READ("\0" "1x\0a\0"));
	cr_expect_not(READ("1\0a\0"));
	cr_expect_not(READ("\0" "9999999999999999999\0a\0"));
}

Test(mbox_part, what_is_too_long_is_not_written)
{
	char start[MBOX_PART_START_MAX + 1];
	struct str text = STR_INIT;

	memset(start, 'x', sizeof(start));
	mbox_part_write(&text, 0, start, sizeof(start));
	mbox_part_write(&text, 0, start, 0);
	cr_expect_eq(text.len, 0);
	mbox_part_write(&text, 0, start, sizeof(start) - 1);
	cr_expect(read_bytes(text.data, text.len));
	cr_expect_leq(text.len, MBOX_PART_MAX);
	str_putc(&text, '\0');
	cr_expect_not(read_bytes(text.data, text.len));
	str_free(&text);
}
