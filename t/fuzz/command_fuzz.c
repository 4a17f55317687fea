/* The input is one line. What was parsed lies within it and is clean. */
#include <string.h>

#include "lib/panic.h"
#include "lib/smtp/command.h"
#include "lib/utf8.h"
#include "t/fuzz/fuzz.h"

static void check(const char *line, size_t len,
		  const struct smtp_command *command)
{
	size_t i;

	ASSERT(command->name == line);
	ASSERT(command->name_len > 0 && command->name_len <= 32);
	ASSERT(command->args >= line + command->name_len);
	ASSERT(command->args + command->args_len <= line + len);
	ASSERT(utf8_is_valid(command->args, command->args_len));
	for (i = 0; i < command->args_len; i++)
		ASSERT((unsigned char)command->args[i] >= ' ' ||
		       command->args[i] == '\t');
	if (command->args_len > 0)
		ASSERT(command->args[command->args_len - 1] != ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_command command;

	if (smtp_command_parse((const char *)data, size, &command) == 0)
		check((const char *)data, size, &command);
	return 0;
}
