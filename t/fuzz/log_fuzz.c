/* Log lines of anything, as JSON: every line is one object that says what was
 * logged. The input is the context, the message and a field, separated by NUL. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/log/log.h"
#include "lib/mem.h"
#include "lib/panic.h"
#include "lib/str.h"
#include "lib/utf8.h"
#include "t/fuzz/fuzz.h"

#define MAX_SIZE 20000

static int log_to_memory(void)
{
	int fd = memfd_create("log", 0);
	char path[32];
	struct log_settings settings = {
		.path = path,
		.timestamp = "",
		.syslog_facility = "mail",
		.prefix = "fuzz: ",
		.format = LOG_FORMAT_JSON,
	};
	struct err err;

	ASSERT(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT(log_open(&settings, &err) == 0);
	return fd;
}

/* A string of the line holds what was logged, or how it began. */
static void check_text(const char *found, const char *text)
{
	size_t len = strlen(text), at = 0, step;
	const char *cut = " [...]";

	while (at < len) {
		step = utf8_char_len(text + at, len - at);
		if (strcmp(found, cut) == 0 && len > strlen(cut))
			return;
		if (step == 0)
			ASSERT(strncmp(found, "\xef\xbf\xbd", 3) == 0);
		else
			ASSERT(strncmp(found, text + at, step) == 0);
		found += step > 0 ? step : 3;
		at += step > 0 ? step : 1;
	}
	ASSERT(*found == '\0');
}

static void check_member(const struct json *root, const char *name,
			 const char *text)
{
	const char *found = json_text(json_member(root, name));

	ASSERT(found != NULL);
	check_text(found, text);
}

static void check_line(int fd, const char *context, const char *message,
		       const char *field)
{
	struct str line = STR_INIT;
	struct json *root;
	struct err err;
	ssize_t len = pread(fd, str_reserve(&line, 65536), 65536, 0);

	ASSERT(len > 0 && len <= 8192);
	str_grown(&line, (size_t)len);
	ASSERT(strchr(line.data, '\n') == line.data + len - 1);
	root = json_parse(line.data, (size_t)len, &err);
	ASSERT(root != NULL);
	if (*context != '\0')
		check_member(root, "context", context);
	check_member(root, "message", message);
	check_member(root, "field", field);
	json_close(&root);
	str_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	char *text, *message, *field, *end;
	struct log_ctx ctx;

	if (size > MAX_SIZE)
		return 0;
	if (fd < 0)
		fd = log_to_memory();
	ASSERT(ftruncate(fd, 0) == 0);
	text = memcpy(mem_alloc(size + 3), data, size);
	end = text + size + 2;
	message = text + strlen(text) + 1;
	field = message + strlen(message) < end
			? message + strlen(message) + 1
			: end;
	ctx = (struct log_ctx){ NULL, text };
	str_puts(log_begin(LOG_LEVEL_ERROR, &ctx), message);
	ASSERT(log_begin_fields("recipient"));
	log_field("field", field);
	log_end();
	check_line(fd, text, message, field);
	mem_free(&text);
	return 0;
}
