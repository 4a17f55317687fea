/* Lines that are JSON: each is one object, whatever it speaks of. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/log/json.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "lib/utf8.h"
#include "t/files.h"

static struct files files;
static struct log_settings settings;
static struct err err;

static void setup(void)
{
	files_init(&files);
	settings = (struct log_settings){
		.path = files_path(&files, "log"),
		.timestamp = "%b %d ",
		.syslog_facility = "mail",
		.ident = "way\"post",
		.prefix = "lmtp(4711): ",
		.format = LOG_FORMAT_JSON,
	};
	cr_assert_eq(log_open(&settings, &err), 0, "%s", err.text);
}

static void teardown(void)
{
	log_close();
	files_done(&files);
}

TestSuite(log_json, .init = setup, .fini = teardown, .timeout = 60);

/* The lines so far; strsep() takes them apart. */
static void read_log(struct str *text)
{
	log_flush();
	str_clear(text);
	files_read(files_path(&files, "log"), text);
}

static struct json *parse(const char *line)
{
	struct json *root = json_parse(line, strlen(line), &err);

	cr_assert_not_null(root, "%s: %s", err.text, line);
	cr_assert_eq(json_kind(root), JSON_KIND_OBJECT);
	return root;
}

/* The only line, as an object. */
static struct json *only_line(void)
{
	struct str text = STR_INIT;
	struct json *root;

	read_log(&text);
	cr_assert_eq(strchr(str_c(&text), '\n'), text.data + text.len - 1);
	root = parse(str_c(&text));
	str_free(&text);
	return root;
}

static const char *member(const struct json *root, const char *name)
{
	return json_text(json_member(root, name));
}

static void expect(const struct json *root, const char *name, const char *value)
{
	const char *found = member(root, name);

	cr_assert_not_null(found, "no %s", name);
	cr_assert_str_eq(found, value, "%s is %s", name, found);
}

static void expect_raw(const struct json *root, const char *name,
		       const char *value)
{
	struct str text = STR_INIT;

	cr_assert_eq(json_kind(json_member(root, name)), JSON_KIND_NUMBER);
	json_put_number(&text, json_member(root, name));
	cr_assert_str_eq(str_c(&text), value);
	str_free(&text);
}

Test(log_json, a_line_has_what_all_lines_have)
{
	const struct log_ctx outer = { NULL, "outer" };
	const struct log_ctx inner = { &outer, "in\"ner" };
	struct json *root;
	unsigned year, ms;
	char end;

	log_warning(&inner, "%s %d", "a \"word\"", 5);
	root = only_line();
	expect(root, "level", "warning");
	expect(root, "process", "lmtp");
	expect(root, "instance", "way\"post");
	expect(root, "context", "outer: in\"ner");
	expect(root, "message", "a \"word\" 5");
	cr_assert_eq(sscanf(member(root, "time"),
			    "%4u-%*2u-%*2uT%*2u:%*2u:%*2u.%3u%c", &year, &ms,
			    &end), 3);
	cr_assert_eq(strlen(member(root, "time")), 24);
	cr_assert_geq(year, 2020);
	cr_assert_eq(end, 'Z');
	cr_assert_eq(json_kind(json_member(root, "pid")), JSON_KIND_NUMBER);
	cr_assert_null(json_member(root, "event"));
	json_close(&root);
}

Test(log_json, every_level_has_its_name)
{
	static const char *const names[] = {
		"debug", "info", "warning", "error", "fatal",
	};
	struct str text = STR_INIT;
	char *rest, *line;
	size_t i;

	settings.debug = true;
	cr_assert_eq(log_open(&settings, &err), 0);
	log_debug(NULL, "x");
	log_info(NULL, "x");
	log_warning(NULL, "x");
	log_error(NULL, "x");
	log_fatal(NULL, "x");
	read_log(&text);
	rest = text.data;
	for (i = 0; i < 5; i++) {
		struct json *root;

		line = strsep(&rest, "\n");
		root = parse(line);
		expect(root, "level", names[i]);
		cr_assert_null(json_member(root, "context"));
		json_close(&root);
	}
	cr_assert_str_eq(rest, "");
	str_free(&text);
}

Test(log_json, a_line_may_have_fields)
{
	struct str *line = log_begin(LOG_LEVEL_INFO, NULL);
	struct json *root;

	cr_assert(log_has_fields());
	str_puts(line, "the\ntext");
	cr_assert(log_begin_fields("recipient"));
	log_field("from", "<\\\t\"");
	log_field("missing", NULL);
	log_field_number("size", UINT64_C(1) << 40);
	log_field_bool("tls", true);
	log_field_bool("proxied", false);
	line = log_begin_field("pieces");
	str_puts(line, "\x01");
	str_puts(line, "two");
	log_end_field();
	log_end();
	root = only_line();
	expect(root, "message", "the\ntext");
	expect(root, "event", "recipient");
	expect(root, "from", "<\\\t\"");
	expect(root, "pieces", "\x01two");
	expect_raw(root, "size", "1099511627776");
	cr_assert_eq(json_kind(json_member(root, "tls")), JSON_KIND_TRUE);
	cr_assert_eq(json_kind(json_member(root, "proxied")), JSON_KIND_FALSE);
	cr_assert_null(json_member(root, "missing"));
	json_close(&root);
}

Test(log_json, text_has_no_fields)
{
	struct str *line, text = STR_INIT;

	settings.format = LOG_FORMAT_TEXT;
	settings.timestamp = "";
	cr_assert_eq(log_open(&settings, &err), 0);
	cr_assert_not(log_has_fields());
	line = log_begin(LOG_LEVEL_INFO, NULL);
	str_puts(line, "text");
	cr_assert_not(log_begin_fields("recipient"));
	str_puts(line, " and more");
	log_end();
	read_log(&text);
	cr_assert_str_eq(str_c(&text), "lmtp(4711): Info: text and more\n");
	str_free(&text);
}

/* What the strings of a line hold where text had come. */
static void put_expected(struct str *out, const char *text, size_t len)
{
	size_t at = 0, step;

	while (at < len) {
		step = utf8_char_len(text + at, len - at);
		if (step == 0)
			str_puts(out, "\xef\xbf\xbd");
		else
			str_append(out, text + at, step);
		at += step > 0 ? step : 1;
	}
}

static void check_escape(const char *text, size_t len)
{
	struct str line = STR_INIT, wanted = STR_INIT;
	struct json *root;
	size_t at;

	str_puts(&line, "[\"");
	at = line.len;
	str_append(&line, text, len);
	log_json_escape(&line, at, 1000);
	str_puts(&line, "\"]");
	cr_assert_null(strchr(line.data, '\n'));
	root = json_parse(line.data, line.len, &err);
	cr_assert_not_null(root, "%s: %s", err.text, line.data);
	put_expected(&wanted, text, len);
	cr_assert_str_eq(json_text(json_item(root, 0)), str_c(&wanted));
	json_close(&root);
	str_free(&wanted);
	str_free(&line);
}

Test(log_json, each_byte_and_pair_of_bytes_can_be_read_again)
{
	unsigned a, b;

	for (a = 1; a < 256; a++) {
		for (b = 1; b < 256; b++) {
			const char text[] = { (char)a, (char)b };

			check_escape(text, 1);
			check_escape(text, 2);
		}
	}
}

Test(log_json, what_is_no_utf8_is_replaced_byte_by_byte)
{
	/* cut off, overlong, a surrogate, beyond the last, a lone follower */
	check_escape("a\xe2\x82", 3);
	check_escape("\xc0\xaf", 2);
	check_escape("\xed\xa0\x80", 3);
	check_escape("\xf4\x90\x80\x80", 4);
	check_escape("\xe2\x82\xac \x80 \xf0\x9f\x93\xa7", 10);
}

static void random_text(char *text, size_t size)
{
	static const char *const bits[] = {
		"\"", "\\", "\n", "\xff", "\xc3\xa4", "\xe2\x82", "\xf0\x9f",
		"plain", "}", "\x7f", "\x1b[0m", "\\u0000", "\xed\xbf\xbf",
	};
	size_t len = 0, count = (size_t)random() % 12;

	text[0] = '\0';
	while (count-- > 0) {
		const char *bit = bits[(size_t)random() %
				       (sizeof(bits) / sizeof(bits[0]))];

		if (len + strlen(bit) >= size)
			break;
		memcpy(text + len, bit, strlen(bit) + 1);
		len += strlen(bit);
	}
}

Test(log_json, lines_of_anything_can_be_read_again)
{
	char context[64], message[64], field[64];
	const struct log_ctx ctx = { NULL, context };
	struct str wanted = STR_INIT;
	struct json *root;
	int i;

	srandom(1);
	for (i = 0; i < 3000; i++) {
		struct str *line;

		random_text(context, sizeof(context));
		random_text(message, sizeof(message));
		random_text(field, sizeof(field));
		unlink(files_path(&files, "log"));
		log_reopen();
		line = log_begin(LOG_LEVEL_ERROR, &ctx);
		str_puts(line, message);
		cr_assert(log_begin_fields("recipient"));
		log_field("from", field);
		log_end();
		root = only_line();
		str_clear(&wanted);
		put_expected(&wanted, message, strlen(message));
		expect(root, "message", str_c(&wanted));
		str_clear(&wanted);
		put_expected(&wanted, field, strlen(field));
		expect(root, "from", str_c(&wanted));
		json_close(&root);
	}
	str_free(&wanted);
}

/* All strings of a line at their longest. */
Test(log_json, long_strings_are_cut_between_characters)
{
	static const char *const chars[] = {
		"x", "\"", "\x01", "\xc3\xa4", "\xff", "\xf0\x9f\x93\xa7",
	};
	struct str text = STR_INIT;
	size_t i;

	for (i = 0; i < sizeof(chars) / sizeof(chars[0]); i++) {
		struct log_ctx ctx;
		struct str *line;
		struct json *root;
		const char *message, *cut;

		str_clear(&text);
		while (text.len < 9000)
			str_puts(&text, chars[i]);
		ctx = (struct log_ctx){ NULL, text.data };
		unlink(files_path(&files, "log"));
		log_reopen();
		line = log_begin(LOG_LEVEL_ERROR, &ctx);
		str_puts(line, text.data);
		cr_assert(log_begin_fields("recipient"));
		log_field("from", text.data);
		log_end();
		root = only_line();
		message = member(root, "message");
		cut = strstr(message, " [...]");
		cr_assert_not_null(cut);
		cr_assert_str_eq(cut, " [...]");
		cr_assert_leq(strlen(message), 4096);
		cr_assert_leq(strlen(member(root, "from")), 1024);
		cr_assert_leq(strlen(member(root, "context")), 1024);
		cr_assert_not_null(strstr(member(root, "from"), " [...]"));
		json_close(&root);
	}
	str_free(&text);
}

Test(log_json, what_just_fits_is_not_cut)
{
	struct str text = STR_INIT;

	while (text.len < 20)
		str_puts(&text, "\xc3\xa4");
	log_json_escape(&text, 0, 20);
	cr_assert_eq(text.len, 20);
	cr_assert_null(strchr(text.data, '['));
	log_json_escape(&text, 0, 19);
	cr_assert_str_eq(text.data, "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
				    "\xc3\xa4 [...]");
	str_free(&text);
}

Test(log_json, many_lines_fill_the_buffer_without_loss)
{
	struct str text = STR_INIT;
	char *rest, *line;
	int count = 0;

	for (count = 0; count < 2000; count++)
		log_info(NULL, "line \"%d\"", count);
	read_log(&text);
	rest = text.data;
	for (count = 0; (line = strsep(&rest, "\n"))[0] != '\0'; count++) {
		struct json *root = parse(line);
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "line \"%d\"", count);
		expect(root, "message", wanted);
		json_close(&root);
	}
	cr_assert_eq(count, 2000);
	str_free(&text);
}
