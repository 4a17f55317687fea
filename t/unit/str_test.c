#include <criterion/criterion.h>

#include "lib/str.h"

Test(str, printf_longer_than_the_first_guess)
{
	struct str str = STR_INIT;
	char text[301];

	memset(text, 'x', 300);
	text[300] = '\0';
	str_puts(&str, "a");
	str_printf(&str, "%s", text);
	cr_assert_eq(str.len, 301);
	cr_assert_str_eq(str.data + 1, text);
	str_free(&str);
}

Test(str, consume_and_truncate)
{
	struct str str = STR_INIT;

	str_puts(&str, "hello world");
	str_consume(&str, 6);
	cr_assert_str_eq(str_c(&str), "world");
	str_truncate(&str, 2);
	cr_assert_str_eq(str_c(&str), "wo");
	str_clear(&str);
	cr_assert_str_eq(str_c(&str), "");
	str_free(&str);
}

Test(str, escaped_text_is_one_line)
{
	struct str str = STR_INIT;

	str_put_escaped(&str, "a\r\n\\\x7f\xc3\xa4", 7);
	cr_assert_str_eq(str_c(&str), "a\\x0d\\x0a\\x5c\\x7f\xc3\xa4");
	str_free(&str);
}

/* The first bytes go a block at a time. */
Test(str, escaped_wherever_it_stands)
{
	struct str str = STR_INIT;
	char text[40], want[48];
	size_t at;

	for (at = 0; at < sizeof(text); at++) {
		memset(text, 'x', sizeof(text));
		text[at] = '\n';
		memset(want, 'x', sizeof(want));
		memcpy(want + at, "\\x0a", 4);
		want[sizeof(text) + 3] = '\0';
		str_clear(&str);
		str_put_escaped(&str, text, sizeof(text));
		cr_assert_str_eq(str_c(&str), want);
	}
	str_free(&str);
}

Test(str, numbers)
{
	struct str str = STR_INIT;

	str_put_number(&str, 0);
	str_putc(&str, ' ');
	str_put_number(&str, 9);
	str_putc(&str, ' ');
	str_put_number(&str, 10);
	str_putc(&str, ' ');
	str_put_number(&str, UINT64_MAX);
	cr_assert_str_eq(str_c(&str), "0 9 10 18446744073709551615");
	str_free(&str);
}
