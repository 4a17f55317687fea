/* What waypostctl can do: each command is one request, and a way to show its
 * answer. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include <stdbool.h>

#include "ctl/table.h"

#define COMMAND_PARAMS 4

struct command_param {
	const char *name; /* in the query */
	const char *help; /* as usage shows it */
	bool needed;
	const char *option; /* "--for": what may stand before it, and it then
			       anywhere; NULL: it is known by its place */
};

struct command {
	const char *words; /* "log reopen" */
	const char *method, *path;
	struct command_param params[COMMAND_PARAMS]; /* name NULL: no more */
	const char *list; /* the answer's array; NULL: it is no table */
	const struct table_column *columns; /* NULL: see done */
	const struct table_column *sums; /* shown below the table; NULL: none */
	const char *done; /* what to say when it has worked; %: the answer's
			     member "sessions". NULL: nothing */
	bool is_text; /* the answer is shown as it comes */
	bool is_report; /* its member "report" is, and says how to exit */
	const char *rest; /* the parameter that has all further words, one a
			     line; NULL: there may be none */
	bool signs;   /* says who wants it, as the parameter "by" */
	bool waits;   /* until no session is left */
	bool of_file; /* its first argument is a file, with a user in each line:
			 see ctl/map.h */
	bool is_live; /* the answer is asked for each second */
	const char *help;
};

extern const struct command commands[]; /* words NULL: the end */

/* The command that argv begins with; of several with the same words, one that
 * takes what follows them; *used_r: how many words it has. NULL:
 * none. */
const struct command *command_find(int argc, char **argv, int *used_r);

#endif
