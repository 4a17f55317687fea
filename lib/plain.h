/* Text that nobody has to look at twice: printable ASCII without backslashes,
 * which needs no escaping, is UTF-8, and holds no control bytes. Whoever
 * checks or escapes text passes over it and sees to the few other bytes. */
#ifndef LIB_PLAIN_H
#define LIB_PLAIN_H

#include <stddef.h>

/* How many of the first bytes of text are plain; len if all are. */
size_t plain_len(const char *text, size_t len);

#endif
