/* Raw protocol logs, for finding out what a client or a backend really says
 * (lmtp_rawlog_dir, lmtp_proxy_rawlog_dir). The files and their format are
 * Dovecot's: for each connection DIR/YYYYMMDD-HHMMSS.PID.NUMBER.in (what the
 * peer said) and .out (what it was told), local time; before each line
 * "SECONDS.MICROSECONDS ", the time since 1970 when its first byte passed.
 *
 * It is the text behind TLS, with passwords and whole messages in it: files
 * have mode 0600. They are written at once, and may wait for the disk as other
 * logs do; whatever happens to them never touches the mail. */
#ifndef LIB_RAWLOG_H
#define LIB_RAWLOG_H

#include <stdatomic.h>
#include <stddef.h>

#include "lib/err.h"

struct rawlog;

enum rawlog_direction { RAWLOG_IN, RAWLOG_OUT };

/* Opens the two files of one connection. *counter is where the process takes
 * its numbers from; all threads share it. 1: it is in *rawlog_r. 0: there is no
 * such directory, which is how these logs are switched off; nothing to say, and
 * *rawlog_r is NULL. -1: the files could not be made (they are always new
 * ones), likewise. */
int rawlog_open(const char *dir, atomic_uint *counter,
		struct rawlog **rawlog_r, struct err *err);

/* Logs len bytes that came, or were sent. -1 when that failed: the caller logs
 * the err, once, for from then on this rawlog takes everything and says
 * nothing. Fine for NULL. */
int rawlog_write(struct rawlog *rawlog, enum rawlog_direction direction,
		 const void *data, size_t len, struct err *err);

/* Closes the files and clears the pointer; NULL is fine. */
void rawlog_free(struct rawlog **rawlog);

#endif
