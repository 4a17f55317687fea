/* The message as a file, for all local recipients of a transaction: read from
 * the spool as it comes in, dots taken out, lines ending with LF. What is small
 * lies in memory (a memfd, sealed), what is not in an unlinked file. Either way
 * whoever is handed the descriptor can only read it. */
#ifndef BACKENDS_LOCAL_MESSAGE_H
#define BACKENDS_LOCAL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/smtp/stuff.h"
#include "lib/spool.h"

#define LOCAL_MESSAGE_BUFFER 8192

struct local_message {
	/* All that is there, or error is set: called once, from the loop. It may
	 * stop the message. */
	void (*done)(struct local_message *message);
	void *owner;
	bool complete;
	int error; /* errno of what it could not be kept for; 0 */
	int fd;	   /* complete: for reading */
	uint64_t size;

	struct spool_reader reader;
	struct smtp_stuff stuff;
	size_t memory;
	const char *dir;
	bool in_memory, cr;
	int write_fd;
	size_t fill;
	char buffer[LOCAL_MESSAGE_BUFFER]; /* what is to be written */
};

/* Puts the message on spool, which holds it in form. Up to memory bytes are kept
 * in memory; the others' place is dir (mail_temp_dir), which outlives it. */
void local_message_start(struct local_message *message, struct spool *spool,
			 enum smtp_form form, size_t memory, const char *dir,
			 void (*done)(struct local_message *message),
			 void *owner);

/* Takes it off the spool and closes the file; done is not called any more.
 * Idempotent; a zeroed struct is fine. */
void local_message_stop(struct local_message *message);

#endif
