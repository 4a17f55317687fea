#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "lib/log/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "passdb/passdb.h"
#include "proxy/lookup/lookup.h"
#include "proxy/settings/settings.h"
#include "proxy/supervisor/supervisor.h"

#define DEFAULT_CONFIG SYSCONFDIR "/waypost/waypost.conf"

/* As in sysexits.h. */
#define EXIT_USAGE 64
#define EXIT_CONFIG 78

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_DUMP,
	ACTION_LOOKUP,
	ACTION_VERSION,
	ACTION_HELP,
};

struct options {
	enum action action;
	enum conf_dump_mode dump_mode;
	bool foreground;
	const char *config_path;
	const char *address; /* -l */
	const char **texts;  /* -x, text_count of them */
	unsigned text_count;
	struct lookup *lookup; /* made of these */
	unsigned actions; /* how many were named: at most one may be */
};

static void set_action(struct options *options, enum action action,
		       enum conf_dump_mode dump_mode)
{
	options->action = action;
	options->dump_mode = dump_mode;
	options->actions++;
}

static int set_option(struct options *options, int c)
{
	switch (c) {
	case 'c':
		options->config_path = optarg;
		return 0;
	case 'F':
		options->foreground = true;
		return 0;
	case 'l':
		options->address = optarg;
		set_action(options, ACTION_LOOKUP, 0);
		return 0;
	case 'x':
		options->texts[options->text_count++] = optarg;
		return 0;
	case 't':
		set_action(options, ACTION_CHECK, 0);
		return 0;
	case 'V':
		set_action(options, ACTION_VERSION, 0);
		return 0;
	case 'h':
		set_action(options, ACTION_HELP, 0);
		return 0;
	case 'n':
		set_action(options, ACTION_DUMP, CONF_DUMP_CHANGED);
		return 0;
	case 'N':
		set_action(options, ACTION_DUMP, CONF_DUMP_SET);
		return 0;
	case 'a':
		set_action(options, ACTION_DUMP, CONF_DUMP_ALL);
		return 0;
	case 'd':
		set_action(options, ACTION_DUMP, CONF_DUMP_DEFAULTS);
		return 0;
	default:
		return -1;
	}
}

static int complain(const char *text, const char *word)
{
	struct str line = STR_INIT;

	str_printf(&line, "waypost: %s", text);
	str_put_escaped(&line, word, strlen(word));
	fprintf(stderr, "%s\n", str_c(&line));
	str_free(&line);
	return -1;
}

static int parse_options(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int c;

	/* There are at most as many -x as arguments. */
	options->texts = mem_alloc((size_t)argc * sizeof(*options->texts));
	while ((c = getopt_long(argc, argv, "c:FhnNadtVl:x:", names, NULL)) != -1) {
		if (set_option(options, c) < 0)
			return -1;
	}
	if (options->text_count > 0 && options->action != ACTION_LOOKUP)
		return complain("-x is for -l only", "");
	if (options->actions > 1)
		return complain("one of -n, -N, -a, -d, -t and -l at a time", "");
	if (optind < argc)
		return complain("an option or its value is wanted, and not ",
				argv[optind]);
	return 0;
}

#define USAGE \
	"usage: waypost [-F] [-c file]\n" \
	"       waypost -n | -N | -a | -d | -t [-c file]\n" \
	"       waypost -l user [-x key=value]... [-c file]\n" \
	"       waypost -V | -h\n"

static int help(void)
{
	fputs(USAGE
	      "\n"
	      "  -c file       the configuration (" DEFAULT_CONFIG ")\n"
	      "  -F            run in the foreground, and log to standard error\n"
	      "  -t            say what is wrong with the configuration\n"
	      "  -n            show what is set and differs from the default\n"
	      "  -N            show what is set\n"
	      "  -a            show all settings\n"
	      "  -d            show all defaults\n"
	      "  -l user       look a recipient up as RCPT does, step by step\n"
	      "  -x key=value  what is known of the client, for -l\n"
	      "  -V, --version\n"
	      "  -h, --help\n"
	      "\n"
	      "waypost(8) and waypost.conf(5) have the rest; waypostctl(8) shows and\n"
	      "steers one that runs.\n",
	      stdout);
	return EXIT_SUCCESS;
}

static int dump(const struct conf_tree *tree, enum conf_dump_mode mode)
{
	struct str text = STR_INIT;
	int status = EXIT_SUCCESS;

	settings_dump(tree, mode, &text);
	if (fputs(str_c(&text), stdout) < 0 || fflush(stdout) != 0) {
		perror("waypost: standard output");
		status = EXIT_FAILURE;
	}
	str_free(&text);
	return status;
}

/* Has files that passdbs cannot read logged, which is no error: they may come
 * later. */
static int check(const struct settings *settings)
{
	struct loop *loop = loop_new();
	struct passdb_shared *shared;
	int status = EXIT_SUCCESS;
	struct err err;

	shared = passdb_shared_new(loop, &settings->passdb, &err);
	if (shared == NULL) {
		log_say(LOG_LEVEL_ERROR, err.text);
		status = EXIT_CONFIG;
	}
	passdb_shared_unref(&shared);
	loop_free(&loop);
	if (status == EXIT_SUCCESS && supervisor_is_handover())
		return supervisor_consent();
	return status;
}

/* Says on stderr what is wrong. */
static struct settings *read_settings(const char *path, enum action action)
{
	struct conf_errors errors = { .text = STR_INIT };
	struct settings *settings;

	settings = supervisor_read_settings(path, action != ACTION_DUMP,
					    &errors);
	log_say(errors.errors > 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
		str_c(&errors.text));
	conf_errors_free(&errors);
	return settings;
}

static int lookup(struct lookup **lookup, struct settings *settings)
{
	int status = (int)lookup_run(lookup, settings, stdout);

	if (ferror(stdout)) {
		fputs("waypost: cannot write to standard output\n", stderr);
		status = EXIT_FAILURE;
	}
	return status;
}

/* Everything but running. */
static int tell(struct options *options, struct settings *settings)
{
	switch (options->action) {
	case ACTION_CHECK:
		return check(settings);
	case ACTION_LOOKUP:
		return lookup(&options->lookup, settings);
	default:
		return dump(settings->tree, options->dump_mode);
	}
}

static void complain_of_path(const char *path)
{
	char *line = mem_printf("%s: %s (-c names another configuration; "
				"waypost.conf(5) says what is in it)",
				path, strerror(errno));

	log_say(LOG_LEVEL_ERROR, line);
	mem_free(&line);
}

static int act(struct options *options, const struct title *title)
{
	struct supervisor_options run = {
		/* A reload finds it from any working directory, and when the
		 * process title has replaced the arguments. */
		.config_path = realpath(options->config_path, NULL),
		.foreground = options->foreground,
		.title = *title,
	};
	struct settings *settings = NULL;
	int status = EXIT_CONFIG;

	/* That must go on, also when the configuration is gone. */
	if (options->action == ACTION_RUN && supervisor_is_handover()) {
		if (run.config_path == NULL)
			run.config_path = strdup(options->config_path);
		status = supervisor_resume(&run);
	} else if (run.config_path == NULL) {
		complain_of_path(options->config_path);
	} else {
		settings = read_settings(run.config_path, options->action);
	}
	if (settings != NULL && options->action == ACTION_RUN) {
		status = supervisor_run(&run, settings);
	} else if (settings != NULL) {
		status = tell(options, settings);
		settings_unref(&settings);
	}
	free(run.config_path);
	return status;
}

/* Before anything is read: it may be the wrong question. */
static int prepare_lookup(struct options *options)
{
	struct str text = STR_INIT;
	struct err err;

	options->lookup = lookup_new(options->address, options->texts,
				     options->text_count, &err);
	if (options->lookup != NULL)
		return 0;
	str_put_escaped(&text, err.text, strlen(err.text));
	fprintf(stderr, "waypost: %s\n", str_c(&text));
	str_free(&text);
	return -1;
}

static int run(struct options *options, int argc, char **argv)
{
	struct title title;

	if (parse_options(options, argc, argv) < 0) {
		fputs(USAGE "waypost --help says more\n", stderr);
		return EXIT_USAGE;
	}
	if (options->action == ACTION_HELP)
		return help();
	if (options->action == ACTION_VERSION) {
		puts(PACKAGE_STRING);
		return EXIT_SUCCESS;
	}
	if (options->action == ACTION_DUMP &&
	    options->dump_mode == CONF_DUMP_DEFAULTS)
		return dump(NULL, options->dump_mode);
	if (options->action == ACTION_LOOKUP && prepare_lookup(options) < 0)
		return EXIT_USAGE;
	title_init(&title, argc, argv);
	passdb_setup();
	return act(options, &title);
}

int main(int argc, char **argv)
{
	struct options options = { .config_path = DEFAULT_CONFIG };
	int status = run(&options, argc, argv);

	lookup_free(&options.lookup);
	mem_free(&options.texts);
	return status;
}
