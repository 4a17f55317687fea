/* User names that mean something to SQL, JSON, URLs and the like. */
#ifndef T_HOSTILE_NAMES_H
#define T_HOSTILE_NAMES_H

#define HOSTILE_NAMES 512

/* The name of that index, below HOSTILE_NAMES; good until the next call. All
 * are UTF-8. */
const char *hostile_name(unsigned index);

#endif
