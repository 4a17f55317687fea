#include "lib/conf/value.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "lib/panic.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* The first that starts with what was written counts. */
static const struct unit time_units[] = {
	{ "secs", 1000 },
	{ "seconds", 1000 },
	{ "mins", 60 * 1000 },
	{ "minutes", 60 * 1000 },
	{ "msecs", 1 },
	{ "milliseconds", 1 },
	{ "millisecs", 1 },
	{ "hours", 3600 * 1000 },
	{ "days", 24 * 3600 * 1000 },
	{ "weeks", 7 * 24 * 3600 * 1000 },
	{ NULL, 0 },
};

static const struct unit size_units[] = {
	{ "b", 1 },
	{ "kb", UINT64_C(1) << 10 },
	{ "kib", UINT64_C(1) << 10 },
	{ "mb", UINT64_C(1) << 20 },
	{ "mib", UINT64_C(1) << 20 },
	{ "gb", UINT64_C(1) << 30 },
	{ "gib", UINT64_C(1) << 30 },
	{ "tb", UINT64_C(1) << 40 },
	{ "tib", UINT64_C(1) << 40 },
	{ NULL, 0 },
};

/* Reads digits of that base at the start of text. Returns -1 when there are
 * none or the number is past max. */
static int parse_digits(const char *text, unsigned base, uint64_t max,
			uint64_t *value_r, const char **rest_r)
{
	const char *at = text;
	uint64_t value = 0;

	while (*at >= '0' && *at < (char)('0' + base)) {
		unsigned digit = (unsigned)(*at++ - '0');

		if (value > (max - digit) / base)
			return -1;
		value = value * base + digit;
	}
	*value_r = value;
	*rest_r = at;
	return at > text ? 0 : -1;
}

/* A number with one of the units behind it. */
static int parse_units(const char *text, const struct unit *units,
		       uint64_t max, uint64_t *value_r, const char **unit_r)
{
	if (parse_digits(text, 10, max, value_r, &text) < 0)
		return -1;
	text += strspn(text, " \t");
	*unit_r = text;
	if (*text == '\0')
		return 0;
	while (units->name != NULL &&
	       strncasecmp(units->name, text, strlen(text)) != 0)
		units++;
	if (units->name == NULL || *value_r > max / units->factor)
		return -1;
	*value_r *= units->factor;
	return 0;
}

static int parse_bool(const char *text, bool *field, struct err *err)
{
	if (strcasecmp(text, "yes") == 0 || strcasecmp(text, "y") == 0 ||
	    strcmp(text, "1") == 0)
		*field = true;
	else if (strcasecmp(text, "no") == 0)
		*field = false;
	else
		return err_set(err, "\"%.200s\" is neither yes nor no", text);
	return 0;
}

static int parse_number(const char *text, unsigned base, uint64_t max,
			unsigned *field, struct err *err)
{
	const char *rest;
	uint64_t value;

	if (parse_digits(text, base, max, &value, &rest) < 0 || *rest != '\0')
		return err_set(err, "\"%.200s\" is no %snumber from 0 to "
			       "%" PRIu64, text, base == 8 ? "octal " : "",
			       max);
	*field = (unsigned)value;
	return 0;
}

/* Dovecot takes digits without a leading 0 for a decimal number, which nobody
 * can have meant. */
static int parse_octal(const char *text, unsigned *field, struct err *err)
{
	if (*text != '0')
		return err_set(err, "\"%.200s\" is no mode: write it in octal "
			       "and with a leading 0, such as 0660", text);
	return parse_number(text, 8, 07777, field, err);
}

static int parse_time(const char *text, unsigned *field, struct err *err)
{
	const char *unit;
	uint64_t value;

	if (parse_units(text, time_units, UINT_MAX, &value, &unit) < 0)
		return err_set(err, "\"%.200s\" is no time up to 7 weeks, such "
			       "as \"30 secs\" or \"5 mins\"", text);
	if (*unit == '\0' && value != 0)
		return err_set(err, "the time \"%.200s\" has no unit (write "
			       "for example \"%.200s secs\")", text, text);
	*field = (unsigned)value;
	return 0;
}

int conf_time_parse(const char *text, uint64_t max_ms, uint64_t *ms_r)
{
	const char *unit;

	if (parse_units(text, time_units, max_ms, ms_r, &unit) < 0)
		return -1;
	return *unit != '\0' || *ms_r == 0 ? 0 : -1;
}

static int parse_size(const char *text, uint64_t *field, struct err *err)
{
	const char *unit;

	if (parse_units(text, size_units, INT64_MAX, field, &unit) < 0)
		return err_set(err, "\"%.200s\" is no size, such as \"128 k\" "
			       "or \"10 M\"", text);
	return 0;
}

/* Says that the len bytes at what are none of the words; returns -1. */
static int list_words(const struct conf_word *words, struct err *err,
		      const char *what, size_t len)
{
	struct str text = STR_INIT;

	str_printf(&text, "\"%.*s\" is none of:", len < 200 ? (int)len : 200,
		   what);
	for (; words->name != NULL; words++)
		str_printf(&text, " %s", words->name);
	err_put(err, "%s", str_c(&text));
	str_free(&text);
	return -1;
}

static int parse_enum(const char *text, const struct conf_word *words,
		      int *field, struct err *err)
{
	const struct conf_word *word = words;

	while (word->name != NULL && strcmp(word->name, text) != 0)
		word++;
	if (word->name == NULL)
		return list_words(words, err, text, strlen(text));
	*field = word->value;
	return 0;
}

static int parse_words(const char *text, const struct conf_word *words,
		       unsigned *field, struct err *err)
{
	unsigned value = 0;

	for (text += strspn(text, " ,"); *text != '\0';
	     text += strspn(text, " ,")) {
		const struct conf_word *word = words;
		size_t len = strcspn(text, " ,");

		while (word->name != NULL &&
		       (strlen(word->name) != len ||
			strncasecmp(word->name, text, len) != 0))
			word++;
		if (word->name == NULL)
			return list_words(words, err, text, len);
		value |= (unsigned)word->value;
		text += len;
	}
	*field = value;
	return 0;
}

int conf_value_parse(enum conf_type type, const struct conf_word *words,
		     struct arena *arena, const char *text, void *field,
		     struct err *err)
{
	switch (type) {
	case CONF_STRING:
		*(const char **)field = arena_strdup(arena, text);
		return 0;
	case CONF_BOOL:
		return parse_bool(text, field, err);
	case CONF_UINT:
		return parse_number(text, 10, UINT_MAX, field, err);
	case CONF_PORT:
		return parse_number(text, 10, 65535, field, err);
	case CONF_TIME:
		return parse_time(text, field, err);
	case CONF_SIZE:
		return parse_size(text, field, err);
	case CONF_OCTAL:
		return parse_octal(text, field, err);
	case CONF_ENUM:
		return parse_enum(text, words, field, err);
	case CONF_WORDS:
		return parse_words(text, words, field, err);
	}
	PANIC("unknown type %d", type);
}

/* In the largest of these units (largest first) that leaves no rest. */
static void write_units(struct str *out, uint64_t value,
			const struct unit *units)
{
	if (value == 0) {
		str_putc(out, '0');
		return;
	}
	while (value % units->factor != 0)
		units++;
	str_printf(out, "%" PRIu64 " %s", value / units->factor, units->name);
}

static void write_time(struct str *out, unsigned value)
{
	static const struct unit units[] = {
		{ "weeks", 7 * 24 * 3600 * 1000 },
		{ "days", 24 * 3600 * 1000 },
		{ "hours", 3600 * 1000 },
		{ "mins", 60 * 1000 },
		{ "secs", 1000 },
		{ "msecs", 1 },
	};

	write_units(out, value, units);
}

static void write_size(struct str *out, uint64_t value)
{
	static const struct unit units[] = {
		{ "T", UINT64_C(1) << 40 },
		{ "G", UINT64_C(1) << 30 },
		{ "M", UINT64_C(1) << 20 },
		{ "k", UINT64_C(1) << 10 },
		{ "B", 1 },
	};

	write_units(out, value, units);
}

static void write_enum(struct str *out, int value,
		       const struct conf_word *words)
{
	while (words->name != NULL && words->value != value)
		words++;
	ASSERT(words->name != NULL);
	str_puts(out, words->name);
}

static void write_words(struct str *out, unsigned value,
			const struct conf_word *words)
{
	const char *space = "";

	for (; words->name != NULL; words++) {
		if ((value & (unsigned)words->value) == 0)
			continue;
		str_printf(out, "%s%s", space, words->name);
		space = " ";
	}
}

void conf_value_write(enum conf_type type, const struct conf_word *words,
		      const void *field, struct str *out)
{
	switch (type) {
	case CONF_STRING:
		str_puts(out, *(const char *const *)field);
		return;
	case CONF_BOOL:
		str_puts(out, *(const bool *)field ? "yes" : "no");
		return;
	case CONF_UINT:
	case CONF_PORT:
		str_printf(out, "%u", *(const unsigned *)field);
		return;
	case CONF_TIME:
		write_time(out, *(const unsigned *)field);
		return;
	case CONF_SIZE:
		write_size(out, *(const uint64_t *)field);
		return;
	case CONF_OCTAL:
		str_printf(out, "0%03o", *(const unsigned *)field);
		return;
	case CONF_ENUM:
		write_enum(out, *(const int *)field, words);
		return;
	case CONF_WORDS:
		write_words(out, *(const unsigned *)field, words);
		return;
	}
}
