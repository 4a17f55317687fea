#include "ctl/stats.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/table.h"
#include "lib/json.h"

#define PATH "/v1/stats"
#define CLEAR "\033[H\033[J" /* home, and nothing below */

/* What is counted becomes a rate, what is measured stays. */
static const struct {
	const char *title, *member;
	bool rate;
} rows[] = {
	{ "sessions", "sessions", false },
	{ "new sessions/s", "sessions_total", true },
	{ "messages/s", "messages", true },
	{ "MB/s", "bytes", true },
	{ "recipients 2xx/s", "recipients_2xx", true },
	{ "recipients 4xx/s", "recipients_4xx", true },
	{ "recipients 5xx/s", "recipients_5xx", true },
	{ "lookups/s", "lookups", true },
	{ "failed lookups/s", "failed_lookups", true },
	{ "waiting lookups", "waiting_lookups", false },
	{ "cached lookups/s", "cached_lookups", true },
	{ "connections open", "connections_open", false },
	{ "connections idle", "connections_idle", false },
	{ "new connections/s", "connections", true },
	{ "failed connections/s", "failed_connections", true },
	{ "waiting messages", "waiting", false },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct sample {
	double at_s;
	double values[ROWS];
};

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double value_of(const struct json *answer, const char *member)
{
	const struct json *value = json_member(answer, member);
	struct str text = STR_INIT;
	double result = 0;

	if (json_kind(value) == JSON_KIND_NUMBER) {
		json_put_number(&text, value);
		result = strtod(str_c(&text), NULL);
	}
	str_free(&text);
	return result;
}

/* Each of these returns an exit status, and err if that is not EX_OK. */

static int ask(const char *socket_path, struct str *body, struct err *err)
{
	int status = client_request(socket_path, "GET", PATH, body, err);
	struct str reason = STR_INIT;

	if (status > 0 && status != 200) {
		client_put_reason(&reason, body);
		err_put(err, "%.400s", str_c(&reason));
		str_free(&reason);
	}
	return client_exit(status);
}

static int take_sample(const char *socket_path, struct sample *sample,
		       struct err *err)
{
	struct str body = STR_INIT;
	struct json *answer = NULL;
	int status = ask(socket_path, &body, err);
	size_t i;

	sample->at_s = now_s();
	if (status == EX_OK)
		answer = json_parse(str_c(&body), body.len, err);
	str_free(&body);
	if (answer == NULL)
		return status != EX_OK ? status : EX_PROTOCOL;
	for (i = 0; i < ROWS; i++)
		sample->values[i] = value_of(answer, rows[i].member);
	json_close(&answer);
	return EX_OK;
}

static int say(const char *text, struct err *err)
{
	if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
		return EX_OK;
	err_put(err, "cannot write");
	return EX_IOERR;
}

/* A worker process that started anew counts from 0. */
static double row_value(size_t i, const struct sample *before,
			const struct sample *now)
{
	double value = now->values[i];

	if (!rows[i].rate)
		return value;
	if (value >= before->values[i])
		value -= before->values[i];
	value /= now->at_s - before->at_s;
	return strcmp(rows[i].member, "bytes") == 0 ? value / 1e6 : value;
}

static void put_row(struct str *out, size_t width, size_t i, double value)
{
	struct str line = STR_INIT;

	str_printf(&line, rows[i].rate ? "%-22s %12.1f" : "%-22s %10.0f",
		   rows[i].title, value);
	str_append(out, line.data, line.len < width ? line.len : width);
	str_putc(out, '\n');
	str_free(&line);
}

/* On a terminal no more than it has room for, so that it never scrolls; the
 * cursor needs a line, too. In one piece, so that whoever interrupts us leaves
 * no half of an escape sequence. */
static int show(const struct sample *before, const struct sample *now,
		struct err *err)
{
	const bool terminal = isatty(STDOUT_FILENO);
	struct winsize size = { .ws_row = 0 };
	size_t i, lines = ROWS, width = SIZE_MAX;
	struct str out = STR_INIT;
	int status;

	if (terminal)
		str_puts(&out, CLEAR);
	if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
		if (size.ws_row > 0 && size.ws_row <= lines)
			lines = size.ws_row - 1u;
		if (size.ws_col > 0)
			width = size.ws_col;
	}
	for (i = 0; i < lines; i++)
		put_row(&out, width, i, row_value(i, before, now));
	if (!terminal)
		str_putc(&out, '\n');
	status = say(str_c(&out), err);
	str_free(&out);
	return status;
}

static int fail(int status, const struct err *err)
{
	fprintf(stderr, "waypostctl: %s\n", err->text);
	return status;
}

int stats_run(const char *socket_path, unsigned count)
{
	struct sample before, now;
	struct err err = { "" };
	int status = take_sample(socket_path, &before, &err);
	unsigned i;

	for (i = 0; status == EX_OK && (count == 0 || i < count); i++) {
		sleep(1);
		status = take_sample(socket_path, &now, &err);
		if (status == EX_OK)
			status = show(&before, &now, &err);
		before = now;
	}
	return status == EX_OK ? EX_OK : fail(status, &err);
}

int stats_run_json(const char *socket_path, unsigned count)
{
	struct err err = { "" };
	int status = EX_OK;
	unsigned i;

	for (i = 0; status == EX_OK && (count == 0 || i < count); i++) {
		struct str body = STR_INIT;

		if (i > 0)
			sleep(1);
		status = ask(socket_path, &body, &err);
		if (status == EX_OK)
			status = say(str_c(&body), &err);
		str_free(&body);
	}
	return status == EX_OK ? EX_OK : fail(status, &err);
}
