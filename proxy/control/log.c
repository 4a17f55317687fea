/* Logs: the last errors. */
#include "lib/log/json.h"
#include "lib/log/recent.h"
#include "proxy/control/private.h"

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_DEBUG:
		return "debug";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_FATAL:
		break;
	}
	return "fatal";
}

static void show_time(struct json_writer *json, uint64_t time_ms)
{
	struct str text = STR_INIT;

	log_json_put_time(&text, time_ms);
	json_write_text(json, "time", str_c(&text));
	str_free(&text);
}

static void show_line(void *arg, const struct log_recent_line *line)
{
	struct json_writer *json = arg;

	json_open_object(json, NULL);
	show_time(json, line->time_ms);
	json_write_text(json, "level", level_name(line->level));
	json_write_text(json, "text", line->text);
	json_close_object(json);
}

void control_log_errors(struct control_call *call)
{
	json_open_object(&call->json, NULL);
	json_open_array(&call->json, "lines");
	log_recent_each(show_line, &call->json);
	json_close_array(&call->json);
	json_close_object(&call->json);
	control_answer(&call);
}
