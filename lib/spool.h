/* The body of one message: written once, read by several readers at their own
 * pace while it is being written. Keeps what some reader still needs in
 * memory, up to a window; then the file or the writer's patience: see
 * spool_full(). */
#ifndef LIB_SPOOL_H
#define LIB_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/list.h"
#include "lib/loop.h"

struct spool;

struct spool_settings {
	size_t window;	 /* bytes kept in memory (128 KiB) */
	const char *dir; /* Dovecot's mail_temp_dir; outlives the spool */
	/* How long the writer waits, when there can be no file, before readers
	 * that are behind and have not taken a window's worth meanwhile are
	 * lost; 0: they are at once. */
	unsigned patience_ms;
};

/* A member of the object that reads; pos, lost and error are for it to look
 * at, everything else is the spool's. */
struct spool_reader {
	struct list node;
	struct spool *spool; /* NULL: on none */
	uint64_t pos;	     /* bytes of the message passed */
	bool lost;	     /* what it needs could not be kept in the file */
	int error;	     /* errno of that (ENOSPC, EIO, EFBIG, EACCES) */
	/* More is there, or the message is complete, or lost was set: call
	 * spool_peek(). Runs from the loop, never inside a call of this
	 * module, and once for all that happened in a pass. */
	void (*ready)(struct spool_reader *reader);
	struct loop_task task;
	char *page; /* what was read back from the file; NULL: nothing */
	size_t page_len;
	uint64_t page_pos; /* of page[0] in the message */
	uint64_t seen_pos; /* where it was when patience began */
};

/* writable() is called when spool_full() was true and is no longer, from the
 * loop, never inside a call of this module. settings are copied. */
struct spool *spool_new(struct loop *loop,
			const struct spool_settings *settings,
			void (*writable)(void *owner), void *owner);

/* Frees the spool and its file; clears the pointer, NULL is fine. Readers left
 * on it are detached and hear nothing. */
void spool_free(struct spool **spool);

/* --- writing --- */

/* Memory to read input into: *room_r bytes (at least 4 KiB, normally 64; 8 for
 * the first of a message). The bytes count once spool_commit() says how many
 * are message; the place is valid until the next call on the spool. With no
 * reader on the spool (or none that is not lost) what is committed counts and
 * is thrown away. */
char *spool_reserve(struct spool *spool, size_t *room_r);
void spool_commit(struct spool *spool, size_t len);

/* Copies in, as the first thing, what shall not go out alone: readers find it
 * once something follows, or the message is finished. */
void spool_preface(struct spool *spool, const void *data, size_t len);

/* Copies data in. */
void spool_append(struct spool *spool, const void *data, size_t len);

/* The message is complete: readers that have read everything are at its end.
 * Nothing may be written afterwards. */
void spool_finish(struct spool *spool);

bool spool_finished(const struct spool *spool);
uint64_t spool_size(const struct spool *spool);

/* Whether the writer should stop for now: the only reader, or every one, is
 * more than the window behind. When one of several is, while another keeps up
 * (is at most half the window behind), the spool is not full: what the slow
 * ones have not read moves to an unlinked file in settings.dir. When that
 * fails, they are lost, and the others go on. So the spool has in memory at
 * most the window, what one spool_commit() adds to it, and 64 KiB for each
 * reader that is back in the file. */
bool spool_full(const struct spool *spool);

/* settings.dir. */
const char *spool_dir(const struct spool *spool);

/* Bytes allocated for the message, for measuring that. */
size_t spool_memory(const struct spool *spool);

/* --- reading --- */

/* A reader starts at the beginning: add it before the first spool_commit() (a
 * later one may find it dropped, which panics). What *reader held before is
 * overwritten. */
void spool_reader_add(struct spool *spool, struct spool_reader *reader,
		      void (*ready)(struct spool_reader *reader));

/* Takes the reader off; what only it needed is freed, and ready() is not called
 * any more. Idempotent; fine for a zeroed reader and after spool_free(). */
void spool_reader_remove(struct spool_reader *reader);

/* Fills iov with what can be read now, without moving on; returns how many of
 * at most max pieces (there may be more behind them). 0: nothing now, or lost.
 * The memory is valid until the next call on the spool. */
int spool_peek(struct spool_reader *reader, struct iovec *iov, int max);

/* Moves on by len bytes of what spool_peek() gave. */
void spool_advance(struct spool_reader *reader, size_t len);

#endif
