#include "backends/local/maildir/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"

#define CHUNK 65536

struct own_path {
	char text[32];
};

static struct own_path path_of(int fd)
{
	struct own_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

/* What a new file in dir would be, apart from its bytes. */
static bool is_like_new(int fd, int dir, uint64_t size)
{
	struct stat st, above;

	if (fstat(fd, &st) < 0 || fstat(dir, &above) < 0)
		return false;
	return S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600 &&
	       st.st_uid == geteuid() && (uint64_t)st.st_size == size &&
	       st.st_gid == ((above.st_mode & S_ISGID) != 0 ? above.st_gid
							    : getegid());
}

/* It is not opened for reading before it is known to be a file. */
static int open_file(const char *path, int dir, uint64_t size)
{
	int place = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1;

	if (place < 0)
		return -1;
	if (is_like_new(place, dir, size))
		fd = open(path_of(place).text, O_RDONLY | O_CLOEXEC);
	close(place);
	return fd;
}

/* Whether len bytes could be read at that place. */
static bool read_all(int fd, char *buf, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = pread(fd, buf + done, len - done,
				    (off_t)(at + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

/* buf has room for two chunks. */
static bool has_body(struct maildir_copy *copy, const struct local_mail *mail,
		     char *buf)
{
	uint64_t done = 0;

	while (done < mail->size) {
		uint64_t left = mail->size - done;
		size_t len = left < CHUNK ? (size_t)left : CHUNK;

		if (!read_all(mail->fd, buf, len, done) ||
		    !read_all(copy->fd, buf + CHUNK, len,
			      mail->head_len + done) ||
		    memcmp(buf, buf + CHUNK, len) != 0)
			return false;
		maildir_sizes_add(&copy->sizes, buf, len);
		done += len;
	}
	return true;
}

static bool has_all(struct maildir_copy *copy, const struct local_mail *mail,
		    char *buf)
{
	if (mail->head_len > CHUNK || !read_all(copy->fd, buf, mail->head_len, 0) ||
	    memcmp(buf, mail->head, mail->head_len) != 0)
		return false;
	maildir_sizes_add(&copy->sizes, buf, mail->head_len);
	return has_body(copy, mail, buf);
}

int maildir_copy_open(struct maildir_copy *copy, const struct local_mail *mail,
		      int dir)
{
	char *buf;
	bool same;

	memset(copy, 0, sizeof(*copy));
	copy->fd = open_file(mail->copy, dir, mail->head_len + mail->size);
	if (copy->fd < 0)
		return -1;
	buf = mem_alloc(2 * CHUNK);
	same = has_all(copy, mail, buf);
	mem_free(&buf);
	if (same)
		return 0;
	maildir_copy_close(copy);
	return -1;
}

int maildir_copy_link(const struct maildir_copy *copy, int dir, const char *name)
{
	return linkat(AT_FDCWD, path_of(copy->fd).text, dir, name,
		      AT_SYMLINK_FOLLOW);
}

void maildir_copy_close(struct maildir_copy *copy)
{
	close(copy->fd);
	copy->fd = -1;
}
