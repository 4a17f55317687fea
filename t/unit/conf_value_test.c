#include <criterion/criterion.h>

#include <stdint.h>
#include <string.h>

#include "lib/conf/value.h"

static const struct conf_word words[] = {
	{ "one", 1 },
	{ "two", 2 },
	{ "four-four", 4 },
	{ NULL, 0 },
};

struct row {
	enum conf_type type;
	const char *text;
	uint64_t value;
	const char *written; /* NULL: the text does not parse */
};

static const struct row rows[] = {
	{ CONF_BOOL, "yes", 1, "yes" },
	{ CONF_BOOL, "YES", 1, "yes" },
	{ CONF_BOOL, "y", 1, "yes" },
	{ CONF_BOOL, "Y", 1, "yes" },
	{ CONF_BOOL, "1", 1, "yes" },
	{ CONF_BOOL, "no", 0, "no" },
	{ CONF_BOOL, "No", 0, "no" },
	{ CONF_BOOL, "n", 0, NULL },
	{ CONF_BOOL, "0", 0, NULL },
	{ CONF_BOOL, "true", 0, NULL },
	{ CONF_BOOL, "", 0, NULL },

	{ CONF_UINT, "0", 0, "0" },
	{ CONF_UINT, "05", 5, "5" },
	{ CONF_UINT, "4294967295", 4294967295, "4294967295" },
	{ CONF_UINT, "4294967296", 0, NULL },
	{ CONF_UINT, "99999999999999999999", 0, NULL },
	{ CONF_UINT, "-1", 0, NULL },
	{ CONF_UINT, "+1", 0, NULL },
	{ CONF_UINT, "0x5", 0, NULL },
	{ CONF_UINT, "5 ", 0, NULL },
	{ CONF_UINT, "", 0, NULL },
	{ CONF_UINT, "unlimited", 0, NULL },

	{ CONF_PORT, "65535", 65535, "65535" },
	{ CONF_PORT, "65536", 0, NULL },

	{ CONF_TIME, "0", 0, "0" },
	{ CONF_TIME, "00", 0, "0" },
	{ CONF_TIME, "0 secs", 0, "0" },
	{ CONF_TIME, "5 s", 5000, "5 secs" },
	{ CONF_TIME, "5s", 5000, "5 secs" },
	{ CONF_TIME, "5 Sec", 5000, "5 secs" },
	{ CONF_TIME, "5 seconds", 5000, "5 secs" },
	{ CONF_TIME, "1 min", 60000, "1 mins" },
	{ CONF_TIME, "1m", 60000, "1 mins" },
	{ CONF_TIME, "90 mins", 5400000, "90 mins" },
	{ CONF_TIME, "2 minutes", 120000, "2 mins" },
	{ CONF_TIME, "2h", 7200000, "2 hours" },
	{ CONF_TIME, "3 days", 259200000, "3 days" },
	{ CONF_TIME, "1 week", 604800000, "1 weeks" },
	{ CONF_TIME, "7 weeks", 4233600000, "7 weeks" },
	{ CONF_TIME, "8 weeks", 0, NULL },
	{ CONF_TIME, "500 ms", 500, "500 msecs" },
	{ CONF_TIME, "500 msecs", 500, "500 msecs" },
	{ CONF_TIME, "500 milliseconds", 500, "500 msecs" },
	{ CONF_TIME, "1500 msecs", 1500, "1500 msecs" },
	{ CONF_TIME, "125 secs", 125000, "125 secs" },
	{ CONF_TIME, "5", 0, NULL },
	{ CONF_TIME, "1.5s", 0, NULL },
	{ CONF_TIME, "-1s", 0, NULL },
	{ CONF_TIME, "5x", 0, NULL },
	{ CONF_TIME, "5 secsx", 0, NULL },
	{ CONF_TIME, "99999999999s", 0, NULL },
	{ CONF_TIME, "s", 0, NULL },
	{ CONF_TIME, "", 0, NULL },
	{ CONF_TIME, "unlimited", 0, NULL },

	{ CONF_SIZE, "0", 0, "0" },
	{ CONF_SIZE, "5", 5, "5 B" },
	{ CONF_SIZE, "5 B", 5, "5 B" },
	{ CONF_SIZE, "1024", 1024, "1 k" },
	{ CONF_SIZE, "5 k", 5120, "5 k" },
	{ CONF_SIZE, "5kB", 5120, "5 k" },
	{ CONF_SIZE, "5KiB", 5120, "5 k" },
	{ CONF_SIZE, "1M", 1048576, "1 M" },
	{ CONF_SIZE, "2 g", UINT64_C(2) << 30, "2 G" },
	{ CONF_SIZE, "3 TiB", UINT64_C(3) << 40, "3 T" },
	{ CONF_SIZE, "1.5M", 0, NULL },
	{ CONF_SIZE, "8388608T", 0, NULL },
	{ CONF_SIZE, "99999999999999999999", 0, NULL },
	{ CONF_SIZE, "5 x", 0, NULL },
	{ CONF_SIZE, "5 kk", 0, NULL },
	{ CONF_SIZE, "", 0, NULL },
	{ CONF_SIZE, "-1", 0, NULL },

	{ CONF_OCTAL, "0600", 0600, "0600" },
	{ CONF_OCTAL, "0", 0, "0000" },
	{ CONF_OCTAL, "00", 0, "0000" },
	{ CONF_OCTAL, "01777", 01777, "01777" },
	{ CONF_OCTAL, "07777", 07777, "07777" },
	{ CONF_OCTAL, "010000", 0, NULL },
	{ CONF_OCTAL, "666", 0, NULL },
	{ CONF_OCTAL, "0800", 0, NULL },
	{ CONF_OCTAL, "rw", 0, NULL },
	{ CONF_OCTAL, "", 0, NULL },

	{ CONF_ENUM, "two", 2, "two" },
	{ CONF_ENUM, "Two", 0, NULL },
	{ CONF_ENUM, "two ", 0, NULL },
	{ CONF_ENUM, "", 0, NULL },

	{ CONF_WORDS, "", 0, "" },
	{ CONF_WORDS, " , ", 0, "" },
	{ CONF_WORDS, "two", 2, "two" },
	{ CONF_WORDS, "FOUR-four,one", 5, "one four-four" },
	{ CONF_WORDS, " two  one two ", 3, "one two" },
	{ CONF_WORDS, "two three", 0, NULL },
	{ CONF_WORDS, "tw", 0, NULL },
	{ CONF_WORDS, "twoo", 0, NULL },
};

static uint64_t value_of(enum conf_type type, const union conf_field *field)
{
	switch (type) {
	case CONF_BOOL:
		return field->boolean;
	case CONF_SIZE:
		return field->size;
	case CONF_ENUM:
		return (uint64_t)field->word;
	default:
		return field->number;
	}
}

Test(conf_value, parse_and_write)
{
	struct arena *arena = arena_new(256);
	struct str out = STR_INIT;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct err err = { "" };
		union conf_field field;
		int ret;

		memset(&field, 0x5a, sizeof(field));
		ret = conf_value_parse(row->type, words, arena, row->text,
				       &field, &err);
		if (row->written == NULL) {
			cr_expect_eq(ret, -1, "%d [%s]", row->type, row->text);
			cr_expect(strlen(err.text) > 0);
			continue;
		}
		cr_expect_eq(ret, 0, "%d [%s]: %s", row->type, row->text,
			     err.text);
		cr_expect_eq(value_of(row->type, &field), row->value,
			     "%d [%s]", row->type, row->text);
		str_clear(&out);
		conf_value_write(row->type, words, &field, &out);
		cr_expect_str_eq(str_c(&out), row->written);
		cr_expect_eq(conf_value_parse(row->type, words, arena,
					      str_c(&out), &field, &err), 0,
			     "%s does not read back", str_c(&out));
		cr_expect_eq(value_of(row->type, &field), row->value);
	}
	str_free(&out);
	arena_free(&arena);
}

Test(conf_value, string_is_copied)
{
	struct arena *arena = arena_new(256);
	struct str out = STR_INIT;
	char text[] = " a # b ";
	const char *value;
	struct err err;

	cr_assert_eq(conf_value_parse(CONF_STRING, NULL, arena, text, &value,
				      &err), 0);
	text[1] = 'x';
	cr_assert_str_eq(value, " a # b ");
	conf_value_write(CONF_STRING, NULL, &value, &out);
	cr_assert_str_eq(str_c(&out), " a # b ");
	str_free(&out);
	arena_free(&arena);
}

Test(conf_value, messages_name_the_value_and_what_may_stand_there)
{
	struct arena *arena = arena_new(256);
	union conf_field field;
	struct err err;

	conf_value_parse(CONF_WORDS, words, arena, "one three", &field, &err);
	cr_expect_str_eq(err.text,
			 "\"three\" is none of: one two four-four");
	conf_value_parse(CONF_TIME, NULL, arena, "5", &field, &err);
	cr_expect(strstr(err.text, "no unit") != NULL, "%s", err.text);
	conf_value_parse(CONF_OCTAL, NULL, arena, "666", &field, &err);
	cr_expect(strstr(err.text, "leading 0") != NULL, "%s", err.text);
	arena_free(&arena);
}

Test(conf_value, times_longer_than_a_field_holds)
{
	static const struct {
		const char *text;
		uint64_t ms; /* 0: none */
	} times[] = {
		{ "2h", 7200000 }, { "30 mins", 1800000 }, { "1 ms", 1 },
		{ "365 days", UINT64_C(31536000000) },
		{ "31536000000ms", UINT64_C(31536000000) },
		{ "31536000001ms", 0 }, { "366 days", 0 },
		{ "90", 0 }, { "", 0 }, { "h", 0 }, { "-1h", 0 }, { "2 years", 0 },
		{ "18446744073709551617 ms", 0 }, { "2h 3", 0 },
	};
	uint64_t ms;
	size_t i;

	for (i = 0; i < sizeof(times) / sizeof(*times); i++) {
		int ret = conf_time_parse(times[i].text, UINT64_C(31536000000),
					  &ms);

		cr_expect_eq(ret, times[i].ms > 0 ? 0 : -1, "%s", times[i].text);
		cr_expect(ret < 0 || ms == times[i].ms, "%s", times[i].text);
	}
	cr_expect_eq(conf_time_parse("0", 1, &ms), 0);
	cr_expect_eq(ms, 0);
}
