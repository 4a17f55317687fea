/* The name that ps shows for a process. */
#ifndef LIB_TITLE_H
#define LIB_TITLE_H

#include <stddef.h>

struct title {
	char *start;
	size_t size;
};

/* Remembers where main()'s arguments lie; they are gone after title_set(). */
void title_init(struct title *title, int argc, char **argv);

/* Shows text in their place, cut at their length. */
void title_set(const struct title *title, const char *text);

#endif
