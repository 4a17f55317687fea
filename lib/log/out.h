/* Writing lines to the files of the log, and counting those that did not get there. */
#ifndef LIB_LOG_OUT_H
#define LIB_LOG_OUT_H

#include <stddef.h>

#include "lib/log/log.h"

/* Writes whole lines to fd, which is that of file. What cannot be written is lost and
 * counted; behind a line of which only a part was written the next one starts anew. */
void log_out_write(enum log_file file, int fd, const char *data, size_t len);

/* How many lines were lost since the last call, once lines can be written again, and
 * why (errno) the last of them was. 0: none, or there is still nowhere to say so. */
unsigned log_out_lost(int *reason_r);

#endif
