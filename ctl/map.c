#include "ctl/map.h"

#include <string.h>
#include <sysexits.h>

#include "ctl/client.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/json_write.h"
#include "lib/mem.h"
#include "lib/percent.h"

#define MAX_FILE (64 * 1024 * 1024)

static int ask(const char *socket_path, const char *user, struct str *body,
	       struct err *err)
{
	struct str path = STR_INIT, reason = STR_INIT;
	int status;

	str_puts(&path, "/v1/director/user?user=");
	percent_encode(&path, user);
	status = client_request(socket_path, "GET", str_c(&path), body, err);
	if (status >= 0 && status != 200) {
		client_put_reason(&reason, body);
		err_put(err, "user %.100s: %.300s", user, str_c(&reason));
	}
	str_free(&reason);
	str_free(&path);
	return client_exit(status);
}

static void put_user(struct json_writer *json, const char *user,
		     const struct json *answer, const char *host)
{
	const char *current = json_text(json_member(answer, "current"));
	const char *next = json_text(json_member(answer, "next"));
	const char *place = current != NULL ? current : next;

	if (host != NULL && (place == NULL || strcmp(place, host) != 0))
		return;
	json_open_object(json, NULL);
	json_write_text(json, "user", user);
	json_write_text(json, "ip", place);
	json_write_text(json, "next", next);
	json_close_object(json);
}

static int map_user(const char *socket_path, const char *user,
		    const char *host, struct json_writer *json,
		    struct err *err)
{
	struct str body = STR_INIT;
	struct json *answer = NULL;
	int status = ask(socket_path, user, &body, err);

	if (status == EX_OK) {
		answer = json_parse(str_c(&body), body.len, err);
		if (answer == NULL)
			status = EX_PROTOCOL;
		else
			put_user(json, user, answer, host);
	}
	str_free(&body);
	json_close(&answer);
	return status;
}

static int map_lines(const char *socket_path, char *lines, const char *host,
		     struct json_writer *json, struct err *err)
{
	int status = EX_OK;
	char *line;

	while (status == EX_OK && (line = strsep(&lines, "\n")) != NULL) {
		line[strcspn(line, "\r")] = '\0';
		if (*line != '\0')
			status = map_user(socket_path, line, host, json, err);
	}
	return status;
}

int map_of_file(const char *socket_path, const char *file, const char *host,
		struct str *out, struct err *err)
{
	struct json_writer json = { .out = out };
	struct str text = STR_INIT;
	int status = file_read(file, MAX_FILE, &text, err);

	if (status == 0)
		err_put(err, "%.300s: there is no such file", file);
	if (status <= 0)
		return EX_NOINPUT;
	json_open_object(&json, NULL);
	json_open_array(&json, "users");
	status = text.len > 0 ? map_lines(socket_path, text.data, host, &json,
					  err) : EX_OK;
	json_close_array(&json);
	json_close_object(&json);
	str_free(&text);
	return status;
}
