#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "proxy/settings.h"
#include "proxy/supervisor.h"

#define EXIT_USAGE 64  /* as in sysexits.h */
#define EXIT_CONFIG 78

struct options {
	const char *config_path;
	bool foreground, check;
	int dump;
};

static int usage(void)
{
	fputs("usage: waypost [-c file] [-F] [-n | -N | -a | -d] [-t] [-V]\n",
	      stderr);
	return EXIT_USAGE;
}

static int parse_options(int argc, char **argv, struct options *options)
{
	int c;

	while ((c = getopt(argc, argv, "c:Ft")) != -1) {
		switch (c) {
		case 'c':
			options->config_path = optarg;
			break;
		case 'F':
			options->foreground = true;
			break;
		case 't':
			options->check = true;
			break;
		default:
			return -1;
		}
	}
	return optind == argc ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct options options = { .config_path = "/etc/waypost/waypost.conf" };
	struct supervisor_options run = { 0 };
	struct conf_errors errors = { .text = STR_INIT };
	struct settings *settings;

	if (parse_options(argc, argv, &options) < 0)
		return usage();
	char *path = realpath(options.config_path, NULL);
	settings = supervisor_read_settings(path, &errors);
	fputs(str_c(&errors.text), stderr);
	conf_errors_free(&errors);
	if (settings == NULL)
		return EXIT_CONFIG;
	run.config_path = path;
	run.foreground = options.foreground;
	title_init(&run.title, argc, argv);
	return supervisor_run(&run, settings);
}
