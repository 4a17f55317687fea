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
};

struct spool_reader {
	struct list node;
	struct spool *spool;
	uint64_t pos; /* bytes of the message passed */
	bool lost;    /* what it needs could not be spilled (ENOSPC, EIO) */
	/* More is there, or the message is complete, or lost was set. Runs from
	 * the loop, never inside a call of this module. */
	void (*ready)(struct spool_reader *reader);
	/* the implementer adds what else it needs */
	struct loop_task task;
	char *page; /* what was read back from the file */
	size_t page_len;
	uint64_t page_pos;
};

/* writable() is called when spool_full() was true and is no longer. */
struct spool *spool_new(struct loop *loop,
			const struct spool_settings *settings,
			void (*writable)(void *owner), void *owner);

/* Frees the spool and its file; clears the pointer, NULL is fine. Readers left
 * on it are detached and hear nothing. */
void spool_free(struct spool **spool);

/* --- writing --- */

/* Memory to read input into: *room_r bytes (at least 4 KiB, normally 64). The
 * bytes count once spool_commit() says how many are message; the place is
 * valid until the next call on the spool. */
char *spool_reserve(struct spool *spool, size_t *room_r);
void spool_commit(struct spool *spool, size_t len);

/* Copies data in. */
void spool_append(struct spool *spool, const void *data, size_t len);

/* The message is complete: readers that have read everything are at its end. */
void spool_finish(struct spool *spool);

bool spool_finished(const struct spool *spool);
uint64_t spool_size(const struct spool *spool);

/* Whether the writer should stop for now: the only reader (or every one) is
 * more than the window behind. With several readers of which one is slow the
 * spool spills to a file instead and is not full. */
bool spool_full(const struct spool *spool);

/* --- reading --- */

/* A reader starts at the beginning; add it before anything was dropped, that
 * is, before the first spool_commit() with other readers on it. */
void spool_reader_add(struct spool *spool, struct spool_reader *reader,
		      void (*ready)(struct spool_reader *reader));

/* Takes the reader off; what only it needed is freed. Idempotent; fine for a
 * zeroed reader and after spool_free(). */
void spool_reader_remove(struct spool_reader *reader);

/* Fills iov with what can be read now, without moving on; returns how many of
 * at most max pieces. 0: nothing now (or lost). The memory is valid until the
 * next call on the spool. */
int spool_peek(struct spool_reader *reader, struct iovec *iov, int max);

/* Moves on by len bytes of what spool_peek() gave. */
void spool_advance(struct spool_reader *reader, size_t len);

/* Whether the reader has read the whole, finished message. */
bool spool_at_end(const struct spool_reader *reader);

#endif
