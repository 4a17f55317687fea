/* waypostctl: looks at a running waypost, and steers it. */
#include <ctype.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "ctl/client.h"
#include "ctl/commands.h"
#include "ctl/map.h"
#include "ctl/stats.h"
#include "lib/conf/schema.h"
#include "lib/json.h"
#include "lib/mem.h"
#include "lib/percent.h"

#define DEFAULT_SOCKET "/run/waypost/ctl" /* base_dir/ctl */
#define POLL_MS 200
#define HELP_COLUMN 32
#define MAX_COMMANDS 64

struct options {
	const char *socket;
	bool json;
	bool quiet; /* nothing is said of what was done */
};

/* A line about one command. */
static void put_param(struct str *line, const struct command_param *param)
{
	if (param->option != NULL)
		str_printf(line, " [%s %s]", param->option, param->help);
	else
		str_printf(line, param->needed ? " %s" : " [%s]", param->help);
}

static void show_command(FILE *to, const struct command *command)
{
	const struct command_param *param = command->params;
	struct str line = STR_INIT;

	str_puts(&line, command->words);
	for (; param < command->params + COMMAND_PARAMS && param->name != NULL;
	     param++)
		put_param(&line, param);
	if (line.len > HELP_COLUMN) {
		fprintf(to, "  %s\n", str_c(&line));
		str_clear(&line);
	}
	fprintf(to, "  %-*s %s\n", HELP_COLUMN, str_c(&line), command->help);
	str_free(&line);
}

#define USAGE "usage: waypostctl [-q] [-f json|table] [-s socket] command\n"

static int help(FILE *to)
{
	const struct command *command;

	fputs(USAGE
	      "\n"
	      "  -s socket      of the waypost that is meant: base_dir/ctl (" DEFAULT_SOCKET ")\n"
	      "  -f json|table  answers as they come, or for people\n"
	      "  -q             do not say what was done\n"
	      "  -w             the words of all commands, one command a line\n"
	      "  -V, --version\n"
	      "  -h, --help     with a command: of that one\n"
	      "\n"
	      "commands:\n",
	      to);
	for (command = commands; command->words != NULL; command++)
		show_command(to, command);
	fputs("\nwaypostctl(8) has the rest.\n", to);
	return to == stdout ? EX_OK : EX_USAGE;
}

/* A usage error. word: what is no command; NULL: that is not it. */
static int refuse(const char *word)
{
	const char *names[MAX_COMMANDS + 1], *nearest = NULL;
	struct str text = STR_INIT;
	size_t i;

	for (i = 0; i < MAX_COMMANDS && commands[i].words != NULL; i++)
		names[i] = commands[i].words;
	names[i] = NULL;
	if (word != NULL) {
		str_puts(&text, "waypostctl: there is no command \"");
		str_put_escaped(&text, word, strlen(word));
		nearest = conf_nearest(word, names);
		str_puts(&text, "\"");
	}
	if (nearest != NULL)
		str_printf(&text, " (did you mean \"%s\"?)", nearest);
	fprintf(stderr, "%s%s" USAGE "waypostctl --help lists the commands\n",
		str_c(&text), text.len > 0 ? "\n" : "");
	str_free(&text);
	return EX_USAGE;
}

/* What there is that begins with the same word, if that is there at all. */
static int usage(FILE *to, int argc, char **argv)
{
	const struct command *command;
	size_t len = argc > 0 ? strlen(argv[0]) : 0;
	bool any = false;

	for (command = commands; command->words != NULL; command++) {
		if (len == 0 || strncmp(command->words, argv[0], len) != 0 ||
		    (command->words[len] != ' ' && command->words[len] != '\0'))
			continue;
		if (!any)
			fputs(USAGE, to);
		any = true;
		show_command(to, command);
	}
	if (!any)
		return argc > 0 && to != stdout ? refuse(argv[0]) : help(to);
	return to == stdout ? EX_OK : EX_USAGE;
}

/* Somebody who does not know a command asks for help before anything is done. */
static bool wants_help(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0)
			return true;
	}
	return false;
}

static int fail(const char *text, int status)
{
	fprintf(stderr, "waypostctl: %s\n", text);
	return status;
}

static void put_signature(struct str *path)
{
	const struct passwd *user = getpwuid(getuid());

	if (user == NULL)
		return;
	str_puts(path, "&by=");
	percent_encode(path, user->pw_name);
}

/* What args say of the command's parameters; values[i] NULL: nothing. */
struct words {
	const struct command *command;
	char **args, *values[COMMAND_PARAMS];
	int count, used;
};

/* The parameter whose option the next word is, or begins with, up to '='; -1: it is
 * none. */
static int option_of(const struct words *words)
{
	const char *word = words->args[words->used];
	int i;

	for (i = 0; i < COMMAND_PARAMS; i++) {
		const char *option = words->command->params[i].option;
		size_t len = option != NULL ? strlen(option) : 0;

		if (len > 0 && strncmp(word, option, len) == 0 &&
		    (word[len] == '\0' || word[len] == '='))
			return i;
	}
	return -1;
}

/* "--for=2h", or "--for" and "2h". */
static bool take_option(struct words *words, int i)
{
	char *value = strchr(words->args[words->used++], '=');

	if (value != NULL)
		value++;
	else if (words->used < words->count)
		value = words->args[words->used++];
	if (words->values[i] != NULL)
		return false;
	words->values[i] = value;
	return value != NULL;
}

static bool take_word(struct words *words)
{
	const struct command_param *params = words->command->params;
	int i = 0;

	while (i < COMMAND_PARAMS && words->values[i] != NULL)
		i++;
	if (i == COMMAND_PARAMS || params[i].name == NULL)
		return false;
	words->values[i] = words->args[words->used++];
	return true;
}

/* False: too few, too many, or an option without a value. What is behind the last
 * parameter is left, for a command that takes the rest. */
static bool take_words(struct words *words)
{
	const struct command_param *params = words->command->params;
	bool more = true;
	int i;

	while (more && words->used < words->count) {
		i = option_of(words);
		if (i >= 0 && !take_option(words, i))
			return false;
		if (i < 0)
			more = take_word(words);
	}
	for (i = 0; i < COMMAND_PARAMS && params[i].name != NULL; i++) {
		if (params[i].needed && words->values[i] == NULL)
			return false;
	}
	return more || words->command->rest != NULL;
}

static void put_rest(struct str *path, const struct words *words)
{
	int i;

	str_printf(path, "&%s=", words->command->rest);
	for (i = words->used; i < words->count; i++) {
		percent_encode(path, words->args[i]);
		if (i + 1 < words->count)
			percent_encode(path, "\n");
	}
}

/* The path with the parameters that args give. NULL: see take_words(). */
static char *make_path(const struct command *command, int argc, char **argv)
{
	struct words words = { command, argv, { NULL }, argc, 0 };
	struct str path = STR_INIT;
	int i, count = 0;

	if (!take_words(&words))
		return NULL;
	str_puts(&path, command->path);
	for (i = 0; i < COMMAND_PARAMS; i++) {
		if (words.values[i] == NULL)
			continue;
		str_printf(&path, "%c%s=", count++ == 0 ? '?' : '&',
			   command->params[i].name);
		percent_encode(&path, words.values[i]);
	}
	if (words.used < words.count)
		put_rest(&path, &words);
	if (command->signs)
		put_signature(&path);
	return path.data;
}

static int show_error(const struct str *body, int status)
{
	struct str line = STR_INIT;

	client_put_reason(&line, body);
	fail(line.len > 0 ? str_c(&line) : "an answer without a reason", 0);
	str_free(&line);
	return client_exit(status);
}

static void put_done(struct str *out, const char *text,
		     const struct json *answer)
{
	for (; *text != '\0'; text++) {
		if (*text == '%')
			json_put_number(out, json_member(answer, "sessions"));
		else
			str_putc(out, *text);
	}
	str_putc(out, '\n');
}

static bool is_zero(const struct json *number)
{
	struct str text = STR_INIT;
	bool zero;

	json_put_number(&text, number);
	zero = strcmp(str_c(&text), "0") == 0;
	str_free(&text);
	return zero;
}

/* "waypostctl: <number><text>" on standard error. */
static void note(const struct json *number, const char *text)
{
	struct str line = STR_INIT;

	json_put_number(&line, number);
	str_puts(&line, text);
	fail(str_c(&line), 0);
	str_free(&line);
}

/* A table is not taken for all that there is when it is not. */
static void note_gaps(const struct json *answer, const struct json *list)
{
	const struct json *missing = json_member(answer, "workers_missing");
	const struct json *total = json_member(answer, "total");
	struct str shown = STR_INIT, all = STR_INIT;

	if (json_kind(missing) == JSON_KIND_NUMBER && !is_zero(missing))
		note(missing, " worker threads do not answer: what they have is "
		     "not included");
	str_put_number(&shown, json_count(list));
	if (json_kind(total) == JSON_KIND_NUMBER)
		json_put_number(&all, total);
	if (all.len > 0 && strcmp(str_c(&all), str_c(&shown)) != 0)
		note(total, " fit; not all are shown");
	if (json_kind(json_member(answer, "cut")) == JSON_KIND_TRUE)
		fail("there are more; not all are shown", 0);
	str_free(&shown);
	str_free(&all);
}

static void show_json(const struct options *options,
		      const struct command *command, const struct json *answer)
{
	const char *held = json_text(json_member(answer, "held"));
	const struct json *list = NULL;
	struct str out = STR_INIT;

	if (command->list != NULL) {
		list = json_member(answer, command->list);
		table_put(&out, list, command->columns);
		if (command->sums != NULL)
			table_put_fields(&out, answer, command->sums);
	} else if (command->columns != NULL) {
		table_put_fields(&out, answer, command->columns);
	} else if (command->done != NULL && !options->quiet) {
		put_done(&out, held != NULL ? held : command->done, answer);
	}
	fputs(str_c(&out), stdout);
	str_free(&out);
	note_gaps(answer, list);
}

/* The exit status is as that of waypost -l. */
static int show_report(const struct options *options, const struct json *answer)
{
	const struct json *status = json_member(answer, "exit_status");
	const char *report = json_text(json_member(answer, "report"));
	struct str number = STR_INIT;
	int result;

	if (report == NULL || json_kind(status) != JSON_KIND_NUMBER)
		return fail("an answer without a report", EX_PROTOCOL);
	if (!options->json)
		fputs(report, stdout);
	json_put_number(&number, status);
	result = atoi(str_c(&number));
	str_free(&number);
	return result;
}

static int show(const struct options *options, const struct command *command,
		const struct str *body)
{
	struct json *answer;
	int status = EX_OK;
	struct err err;

	if (options->json || command->is_text)
		fputs(str_c(body), stdout);
	if (command->is_text || (options->json && !command->is_report))
		return EX_OK;
	answer = json_parse(str_c(body), body->len, &err);
	if (answer == NULL)
		return fail(err.text, EX_PROTOCOL);
	if (command->is_report)
		status = show_report(options, answer);
	else
		show_json(options, command, answer);
	json_close(&answer);
	return status;
}

/* Whether no session is left, those of processes that end included. -1: that is
 * not what it waits for any more. */
static int is_drained(const struct json *status)
{
	const char *state = json_text(json_member(status, "state"));

	if (state == NULL || strcmp(state, "draining") != 0)
		return -1;
	return is_zero(json_member(status, "sessions")) &&
	       is_zero(json_member(status, "other_workers"));
}

/* 0: not yet; 1: it has; -1, and the exit status is *exit_r: it will not. */
static int has_drained(const char *socket_path, int *exit_r, struct err *err)
{
	struct str body = STR_INIT;
	struct json *answer = NULL;
	int status, drained = -1;

	status = client_request(socket_path, "GET", "/v1/status", &body, err);
	*exit_r = status == 200 ? EX_PROTOCOL : client_exit(status);
	if (status == 200)
		answer = json_parse(body.data, body.len, err);
	str_free(&body);
	if (answer == NULL)
		return -1;
	if (json_kind(json_member(answer, "sessions")) == JSON_KIND_NUMBER &&
	    json_kind(json_member(answer, "other_workers")) == JSON_KIND_NUMBER)
		drained = is_drained(answer);
	if (drained < 0) {
		err_put(err, "waypost serves again");
		*exit_r = EX_TEMPFAIL;
	}
	json_close(&answer);
	return drained;
}

static int wait_drained(const struct options *options)
{
	struct err err = { "no answer to status" };
	int drained, status;

	fflush(stdout);
	while ((drained = has_drained(options->socket, &status, &err)) == 0)
		usleep(POLL_MS * 1000);
	if (drained < 0)
		return fail(err.text, status);
	if (!options->json && !options->quiet)
		puts("drained");
	return EX_OK;
}

static int run_live(const struct options *options, const char *path)
{
	const char *seconds = strchr(path, '=');
	char *end = NULL;
	unsigned long count = 0;

	if (seconds != NULL)
		count = strtoul(seconds + 1, &end, 10);
	if (end != NULL && (*end != '\0' || count == 0 || count > 1000000))
		return fail("SECONDS must be a number", EX_USAGE);
	return options->json ? stats_run_json(options->socket, (unsigned)count)
			     : stats_run(options->socket, (unsigned)count);
}

static int flushed(int status)
{
	return fflush(stdout) == 0 ? status : fail("cannot write", EX_IOERR);
}

static int run(const struct options *options, const struct command *command,
	       const char *path)
{
	struct str body = STR_INIT;
	struct err err;
	int status;

	if (command->is_live)
		return run_live(options, path);
	status = client_request(options->socket, command->method, path, &body,
				&err);
	if (status < 0)
		status = fail(err.text, client_exit(status));
	else if (status != 200)
		status = show_error(&body, status);
	else
		status = show(options, command, &body);
	if (status == EX_OK && command->waits)
		status = wait_drained(options);
	str_free(&body);
	return flushed(status);
}

static int run_of_file(const struct options *options,
		       const struct command *command, int argc, char **argv)
{
	struct str body = STR_INIT;
	struct err err;
	int status;

	if (argc < 1 || argc > 2)
		return fail("usage: director map -f FILE [HOST]", EX_USAGE);
	status = map_of_file(options->socket, argv[0],
			     argc > 1 ? argv[1] : NULL, &body, &err);
	status = status != EX_OK ? fail(err.text, status)
				 : show(options, command, &body);
	str_free(&body);
	return flushed(status);
}

/* Small letters are what to write, capitals are names for it. */
static bool has_choices(const struct command_param *param)
{
	return param->name != NULL && strchr(param->help, '|') != NULL &&
	       islower((unsigned char)param->help[0]);
}

/* One command a line, with the words that it takes: for completion. */
static int show_words(void)
{
	const struct command *command;
	char *choices, *rest, *choice;

	for (command = commands; command->words != NULL; command++) {
		puts(command->words);
		if (!has_choices(&command->params[0]))
			continue;
		choices = rest = mem_strdup(command->params[0].help);
		while ((choice = strsep(&rest, "|")) != NULL)
			printf("%s %s\n", command->words, choice);
		mem_free(&choices);
	}
	return EX_OK;
}

static int show_version(void)
{
	puts(PACKAGE_STRING);
	return EX_OK;
}

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* 0, or the option that is no setting. */
static int parse_options(struct options *options, int argc, char **argv)
{
	const char *from_env = getenv("WAYPOSTCTL_SOCKET");
	int c;

	options->socket = from_env != NULL ? from_env : DEFAULT_SOCKET;
	while ((c = getopt_long(argc, argv, "+f:hqs:Vw", long_options, NULL)) !=
	       -1) {
		if (c == 's')
			options->socket = optarg;
		else if (c == 'q')
			options->quiet = true;
		else if (c == 'f' && strcmp(optarg, "json") == 0)
			options->json = true;
		else if (c == 'f' && strcmp(optarg, "table") == 0)
			options->json = false;
		else
			return c;
	}
	return 0;
}

/* argv: behind the options. */
static int run_words(const struct options *options, int argc, char **argv)
{
	const struct command *command;
	int used, status;
	char *path;

	if (wants_help(argc, argv))
		return flushed(usage(stdout, argc, argv));
	command = command_find(argc, argv, &used);
	if (command == NULL)
		return usage(stderr, argc, argv);
	if (command->of_file)
		return run_of_file(options, command, argc - used, argv + used);
	path = make_path(command, argc - used, argv + used);
	if (path == NULL)
		return usage(stderr, argc, argv);
	status = run(options, command, path);
	mem_free(&path);
	return status;
}

int main(int argc, char **argv)
{
	struct options options = { .json = false };
	int status = parse_options(&options, argc, argv);

	if (status == 'V')
		return show_version();
	if (status == 'w')
		return show_words();
	if (status == 'h')
		return flushed(help(stdout));
	if (status == 'f')
		return fail("-f takes json or table", EX_USAGE);
	if (status != 0)
		return refuse(NULL);
	return run_words(&options, argc - optind, argv + optind);
}
