#include "backends/local/quota/command.h"

#include <string.h>

#include "backends/local/lda/program.h"
#include "lib/mem.h"

#define PREFIX "exec:"
#define MAX_ARGUMENTS 64

struct command {
	char *text; /* what the rest points into */
	char *argv[MAX_ARGUMENTS + 1];
};

int quota_command_check(const char *command, struct err *err)
{
	const size_t len = strlen(PREFIX);

	command += strspn(command, " ");
	if (strncmp(command, PREFIX, len) == 0 && command[len] == '/')
		return 0;
	return err_set(err, "\"%.100s\" is not run: there are no services of "
		       "Dovecot's here; write the program as exec:/PATH "
		       "ARGUMENTS", command);
}

static int split(struct command *command, struct err *err)
{
	char *rest = command->text + strlen(PREFIX), *word;
	unsigned count = 0;

	while ((word = strsep(&rest, " ")) != NULL) {
		if (*word == '\0')
			continue;
		if (count == MAX_ARGUMENTS)
			return err_set(err, "\"%.100s\" has more than %d "
				       "arguments", command->text,
				       MAX_ARGUMENTS - 1);
		command->argv[count++] = word;
	}
	return 0;
}

static int command_init(struct command *command, const char *text,
			struct err *err)
{
	memset(command, 0, sizeof(*command));
	if (quota_command_check(text, err) < 0)
		return -1;
	command->text = mem_strdup(text + strspn(text, " "));
	return split(command, err);
}

pid_t quota_command_start(const char *text, const char *user, const char *home,
			  unsigned seconds, struct err *err)
{
	struct command command;
	const struct program program = {
		.argv = command.argv,
		.user = user,
		.home = home,
		.in = -1,
		.out = -1,
		.seconds = seconds,
	};
	pid_t pid = -1;

	if (command_init(&command, text, err) == 0)
		pid = program_start(&program, err);
	mem_free(&command.text);
	return pid;
}

void quota_command_wait(pid_t pid)
{
	program_wait(pid);
}
