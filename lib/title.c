#include "lib/title.h"

#include <stdio.h>
#include <string.h>

/* The kernel puts the arguments one behind the other, and the environment
 * behind them, which gives a short command line room. */
static void title_extend(struct title *title, char **strings)
{
	for (; *strings != NULL; strings++) {
		if (*strings == title->start + title->size)
			title->size += strlen(*strings) + 1;
	}
}

void title_init(struct title *title, int argc, char **argv)
{
	title->start = argc > 0 ? argv[0] : NULL;
	title->size = 0;
	if (title->start != NULL)
		title_extend(title, argv);
}

void title_set(const struct title *title, const char *text)
{
	if (title->size == 0)
		return;
	memset(title->start, 0, title->size);
	snprintf(title->start, title->size, "%s", text);
}
