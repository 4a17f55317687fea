#include "lib/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/panic.h"

#define SPOOL_CHUNK ((size_t)64 * 1024)
#define SPOOL_FIRST_CHUNK ((size_t)8 * 1024) /* most messages are small */
#define SPOOL_MIN_ROOM ((size_t)4 * 1024)
#define SPOOL_IOV_MAX 16

struct spool_chunk {
	struct list node;
	uint64_t pos; /* of data[0] in the message */
	size_t len, cap;
	char data[];
};

/* Memory (the chunks) always holds the newest bytes of the message, without a
 * gap up to size. The file, when there is one, holds [file_start, file_end)
 * with file_end never before the first chunk, so that a reader finds what it
 * has not passed in one or the other. */
struct spool {
	struct loop *loop;
	struct spool_settings settings;
	void (*writable)(void *owner);
	void *owner;
	struct loop_task writable_task;
	struct list chunks;  /* struct spool_chunk */
	struct list readers; /* struct spool_reader */
	uint64_t size;
	uint64_t preface; /* bytes that wait for company */
	uint64_t file_start, file_end;
	int fd; /* -1: no file */
	struct loop_timer patience; /* set: there could be no file */
	int file_error;
	bool finished, full;
};

/* How far the readers are that still take part. */
struct spool_span {
	uint64_t slowest, fastest;
};

static void spool_patience_over(struct loop_timer *timer);

static void spool_writable_task(struct loop_task *task)
{
	struct spool *spool = container_of(task, struct spool, writable_task);

	if (!spool->full)
		spool->writable(spool->owner);
}

struct spool *spool_new(struct loop *loop,
			const struct spool_settings *settings,
			void (*writable)(void *owner), void *owner)
{
	struct spool *spool = mem_new(struct spool);

	spool->loop = loop;
	spool->settings = *settings;
	spool->writable = writable;
	spool->owner = owner;
	spool->writable_task.fn = spool_writable_task;
	spool->fd = -1;
	loop_timer_open(&spool->patience, loop, spool_patience_over);
	list_init(&spool->chunks);
	list_init(&spool->readers);
	return spool;
}

static void spool_tell(struct spool_reader *reader)
{
	loop_defer(reader->spool->loop, &reader->task);
}

static void spool_page_drop(struct spool_reader *reader)
{
	mem_free(&reader->page);
	reader->page_pos = reader->page_len = 0;
}

static void spool_lose(struct spool_reader *reader, int error)
{
	reader->lost = true;
	reader->error = error;
	spool_page_drop(reader);
	spool_tell(reader);
}

static struct spool_span spool_span(const struct spool *spool)
{
	struct spool_span span = { spool->size, 0 };
	const struct list *node;
	bool any = false;

	for (node = spool->readers.next; node != &spool->readers;
	     node = node->next) {
		const struct spool_reader *reader =
			container_of(node, struct spool_reader, node);

		if (reader->lost)
			continue;
		any = true;
		if (reader->pos < span.slowest)
			span.slowest = reader->pos;
		if (reader->pos > span.fastest)
			span.fastest = reader->pos;
	}
	/* What nobody reads has been read by all. */
	if (!any)
		span.fastest = spool->size;
	return span;
}

/* --- memory --- */

static uint64_t spool_memory_start(const struct spool *spool)
{
	return list_empty(&spool->chunks)
		       ? spool->size
		       : list_first(&spool->chunks, struct spool_chunk,
				    node)->pos;
}

/* The last chunk if it has that much room, else a new one. */
static struct spool_chunk *spool_room(struct spool *spool, size_t least)
{
	struct spool_chunk *chunk =
		list_last(&spool->chunks, struct spool_chunk, node);
	size_t cap = spool->size == 0 ? SPOOL_FIRST_CHUNK : SPOOL_CHUNK;

	if (chunk != NULL && chunk->cap - chunk->len >= least)
		return chunk;
	/* Not mem_alloc(): zeroing the data would cost more than reading it. */
	chunk = mem_realloc(NULL, sizeof(*chunk) + cap);
	*chunk = (struct spool_chunk){ .pos = spool->size, .cap = cap };
	list_append(&spool->chunks, &chunk->node);
	return chunk;
}

/* Frees the chunks that end at or before pos. The last is kept for the next
 * bytes, unless it is the small first one and the message is not. */
static void spool_drop(struct spool *spool, uint64_t pos)
{
	struct spool_chunk *chunk;

	while ((chunk = list_first(&spool->chunks, struct spool_chunk,
				   node)) != NULL) {
		if (chunk->pos + chunk->len > pos)
			return;
		if (chunk->node.next == &spool->chunks &&
		    (chunk->cap == SPOOL_CHUNK ||
		     spool->size < SPOOL_FIRST_CHUNK)) {
			chunk->pos += chunk->len;
			chunk->len = 0;
			return;
		}
		list_remove(&chunk->node);
		mem_free(&chunk);
	}
}

/* --- the file --- */

static int spool_open_named(const char *dir)
{
	char *path = mem_printf("%s/waypost.spool.XXXXXX", dir);
	int fd = mkostemp(path, O_CLOEXEC), error = errno;

	if (fd >= 0)
		unlink(path);
	mem_free(&path);
	errno = error;
	return fd;
}

static int spool_file_open(struct spool *spool, uint64_t pos)
{
	const char *dir = spool->settings.dir;

	if (spool->fd >= 0)
		return 0;
	spool->fd = open(dir, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (spool->fd < 0) /* not every file system has O_TMPFILE */
		spool->fd = spool_open_named(dir);
	spool->file_start = spool->file_end = pos;
	return spool->fd < 0 ? -1 : 0;
}

static void spool_file_close(struct spool *spool)
{
	if (spool->fd >= 0)
		close(spool->fd);
	spool->fd = -1;
	spool->file_start = spool->file_end = 0;
}

/* Points iov at what memory holds from pos on. */
static int spool_gather(const struct spool *spool, uint64_t pos,
			struct iovec *iov, int max)
{
	struct list *node;
	int n = 0;

	for (node = spool->chunks.next; node != &spool->chunks && n < max;
	     node = node->next) {
		struct spool_chunk *chunk =
			container_of(node, struct spool_chunk, node);
		size_t skip = pos > chunk->pos ? (size_t)(pos - chunk->pos)
					       : 0;

		if (skip >= chunk->len)
			continue;
		iov[n].iov_base = chunk->data + skip;
		iov[n++].iov_len = chunk->len - skip;
	}
	return n;
}

/* Copies to the file what it lacks, up to the end. */
static int spool_file_write(struct spool *spool)
{
	struct iovec iov[SPOOL_IOV_MAX];
	ssize_t done;
	int n;

	while (spool->file_end < spool->size) {
		n = spool_gather(spool, spool->file_end, iov, SPOOL_IOV_MAX);
		done = pwritev(spool->fd, iov, n,
			       (off_t)(spool->file_end - spool->file_start));
		if (done < 0 && errno != EINTR)
			return -1;
		if (done > 0)
			spool->file_end += (uint64_t)done;
	}
	return 0;
}

/* Without a file the memory goes all the same: its bound is a promise. Readers
 * that needed it are lost. */
static void spool_give_up(struct spool *spool, uint64_t pos, int error)
{
	struct list *node, *tmp;

	spool_drop(spool, pos);
	spool_file_close(spool);
	list_each(&spool->readers, node, tmp) {
		struct spool_reader *reader =
			container_of(node, struct spool_reader, node);

		if (!reader->lost && reader->pos < spool_memory_start(spool))
			spool_lose(reader, error);
	}
}

/* The next piece of the file into the reader's page, unless it is there. */
static int spool_page_fill(struct spool_reader *reader)
{
	struct spool *spool = reader->spool;
	uint64_t left = spool->file_end - reader->pos;
	ssize_t got;

	if (reader->pos - reader->page_pos < reader->page_len)
		return 0;
	if (reader->page == NULL)
		reader->page = mem_realloc(NULL, SPOOL_CHUNK);
	do
		got = pread(spool->fd, reader->page,
			    left < SPOOL_CHUNK ? (size_t)left : SPOOL_CHUNK,
			    (off_t)(reader->pos - spool->file_start));
	while (got < 0 && errno == EINTR);
	if (got == 0)
		errno = EIO; /* somebody cut the file */
	if (got <= 0)
		return -1;
	reader->page_pos = reader->pos;
	reader->page_len = (size_t)got;
	return 0;
}

/* --- what to keep where --- */

/* Bytes that must stay in memory: what the fastest has not read, and what
 * others have not and the file does not hold. */
static uint64_t spool_held(const struct spool *spool,
			   const struct spool_span *span)
{
	uint64_t from = span->slowest;

	if (from < spool->file_end)
		from = spool->file_end;
	if (from > span->fastest)
		from = span->fastest;
	return spool->size - from;
}

/* Whether one reader is slow while another keeps up. */
static bool spool_must_spill(const struct spool *spool,
			     const struct spool_span *span)
{
	size_t window = spool->settings.window;

	return spool_held(spool, span) > window &&
	       spool->size - span->fastest <= window / 2;
}

static void spool_be_patient(struct spool *spool)
{
	struct list *node, *tmp;

	list_each(&spool->readers, node, tmp) {
		struct spool_reader *reader =
			container_of(node, struct spool_reader, node);

		reader->seen_pos = reader->pos;
	}
	loop_timer_set(&spool->patience, spool->settings.patience_ms);
}

/* Moves to the file what memory cannot hold. */
static void spool_spill(struct spool *spool, const struct spool_span *span)
{
	if (spool->patience.due_us != 0 ||
	    (spool_file_open(spool, span->slowest) == 0 &&
	     spool_file_write(spool) == 0))
		return;
	spool->file_error = errno;
	if (spool->settings.patience_ms == 0)
		spool_give_up(spool, span->fastest, spool->file_error);
	else
		spool_be_patient(spool);
}

static bool spool_waits(const struct spool *spool)
{
	return spool->size == spool->preface && !spool->finished;
}

/* After every change: moves to the file, frees, tells the writer. */
static void spool_update(struct spool *spool)
{
	struct spool_span span = spool_span(spool);
	uint64_t passed;
	bool was_full = spool->full;

	if (spool_must_spill(spool, &span)) {
		spool_spill(spool, &span);
		span = spool_span(spool);
	}
	passed = spool->file_end < span.fastest ? spool->file_end
						: span.fastest;
	spool_drop(spool, passed > span.slowest ? passed : span.slowest);
	if (span.slowest >= spool->file_end)
		spool_file_close(spool);
	spool->full = spool_held(spool, &span) > spool->settings.window &&
		      !spool_waits(spool);
	if (was_full && !spool->full)
		loop_defer(spool->loop, &spool->writable_task);
}

/* Who is behind the others and has not even taken a window's worth is lost. */
static void spool_patience_over(struct loop_timer *timer)
{
	struct spool *spool = container_of(timer, struct spool, patience);
	struct spool_span span = spool_span(spool);
	struct list *node, *tmp;
	bool stuck = spool_must_spill(spool, &span);

	list_each(&spool->readers, node, tmp) {
		struct spool_reader *reader =
			container_of(node, struct spool_reader, node);

		if (stuck && !reader->lost && reader->pos < span.fastest &&
		    reader->pos - reader->seen_pos < spool->settings.window)
			spool_lose(reader, spool->file_error);
	}
	spool_update(spool);
}

/* --- writing --- */

char *spool_reserve(struct spool *spool, size_t *room_r)
{
	struct spool_chunk *chunk = spool_room(spool, SPOOL_MIN_ROOM);

	ASSERT(!spool->finished);
	*room_r = chunk->cap - chunk->len;
	return chunk->data + chunk->len;
}

static void spool_tell_all(struct spool *spool)
{
	struct list *node, *tmp;

	list_each(&spool->readers, node, tmp) {
		struct spool_reader *reader =
			container_of(node, struct spool_reader, node);

		if (!reader->lost)
			spool_tell(reader);
	}
}

void spool_commit(struct spool *spool, size_t len)
{
	struct spool_chunk *chunk =
		list_last(&spool->chunks, struct spool_chunk, node);

	if (len == 0)
		return;
	ASSERT(chunk != NULL && len <= chunk->cap - chunk->len);
	chunk->len += len;
	spool->size += len;
	spool_tell_all(spool);
	spool_update(spool);
}

void spool_append(struct spool *spool, const void *data, size_t len)
{
	const char *from = data;

	ASSERT(!spool->finished);
	while (len > 0) {
		struct spool_chunk *chunk = spool_room(spool, 1);
		size_t part = chunk->cap - chunk->len;

		if (part > len)
			part = len;
		memcpy(chunk->data + chunk->len, from, part);
		from += part;
		len -= part;
		spool_commit(spool, part);
	}
}

void spool_preface(struct spool *spool, const void *data, size_t len)
{
	ASSERT(spool->size == 0);
	spool->preface = len;
	spool_append(spool, data, len);
}

void spool_finish(struct spool *spool)
{
	spool->finished = true;
	spool_tell_all(spool);
}

bool spool_finished(const struct spool *spool)
{
	return spool->finished;
}

uint64_t spool_size(const struct spool *spool)
{
	return spool->size;
}

bool spool_full(const struct spool *spool)
{
	return spool->full;
}

/* --- reading --- */

static void spool_reader_task(struct loop_task *task)
{
	struct spool_reader *reader =
		container_of(task, struct spool_reader, task);

	reader->ready(reader);
}

void spool_reader_add(struct spool *spool, struct spool_reader *reader,
		      void (*ready)(struct spool_reader *reader))
{
	ASSERT(spool->fd < 0 && spool_memory_start(spool) == 0);
	*reader = (struct spool_reader){ .spool = spool, .ready = ready };
	reader->task.fn = spool_reader_task;
	list_append(&spool->readers, &reader->node);
	if (spool->size > 0 || spool->finished)
		spool_tell(reader);
	spool_update(spool);
}

static void spool_reader_detach(struct spool_reader *reader)
{
	list_remove(&reader->node);
	loop_task_cancel(&reader->task);
	spool_page_drop(reader);
	reader->spool = NULL;
}

void spool_reader_remove(struct spool_reader *reader)
{
	struct spool *spool = reader->spool;

	if (spool == NULL)
		return;
	spool_reader_detach(reader);
	spool_update(spool);
}

void spool_free(struct spool **spool_p)
{
	struct spool *spool = *spool_p;
	struct list *node, *tmp;

	if (spool == NULL)
		return;
	list_each(&spool->readers, node, tmp)
		spool_reader_detach(
			container_of(node, struct spool_reader, node));
	list_each(&spool->chunks, node, tmp)
		mem_release(container_of(node, struct spool_chunk, node));
	loop_task_cancel(&spool->writable_task);
	loop_timer_close(&spool->patience);
	spool_file_close(spool);
	mem_free(spool_p);
}

int spool_peek(struct spool_reader *reader, struct iovec *iov, int max)
{
	struct spool *spool = reader->spool;

	if (spool == NULL || reader->lost || max < 1 || spool_waits(spool))
		return 0;
	if (reader->pos >= spool_memory_start(spool))
		return spool_gather(spool, reader->pos, iov, max);
	if (spool_page_fill(reader) < 0) {
		spool_lose(reader, errno);
		spool_update(spool);
		return 0;
	}
	iov[0].iov_base = reader->page + (reader->pos - reader->page_pos);
	iov[0].iov_len =
		(size_t)(reader->page_pos + reader->page_len - reader->pos);
	return 1;
}

void spool_advance(struct spool_reader *reader, size_t len)
{
	struct spool *spool = reader->spool;

	ASSERT(spool != NULL && len <= spool->size - reader->pos);
	reader->pos += len;
	if (reader->page != NULL &&
	    reader->pos >= spool_memory_start(spool))
		spool_page_drop(reader);
	spool_update(spool);
}

const char *spool_dir(const struct spool *spool)
{
	return spool->settings.dir;
}

size_t spool_memory(const struct spool *spool)
{
	const struct list *node;
	size_t total = 0;

	for (node = spool->chunks.next; node != &spool->chunks;
	     node = node->next)
		total += container_of(node, struct spool_chunk, node)->cap;
	for (node = spool->readers.next; node != &spool->readers;
	     node = node->next)
		if (container_of(node, struct spool_reader, node)->page)
			total += SPOOL_CHUNK;
	return total;
}
