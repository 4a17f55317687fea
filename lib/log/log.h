/* Logging: levels, destinations, and contexts that say who is speaking.
 *
 * A line is "<timestamp><prefix><Level: ><context: context: >message". Text
 * from outside goes through the format arguments as it is: everything written
 * is escaped here (control bytes, DEL and backslash as \xHH), so that one event
 * is one line. A line longer than 8 KiB is cut and ends in " [...]". Syslog
 * gets no timestamp, and no "Info: "; the journal behind stderr the same, with
 * "<priority>" in front. Lines of several threads never mix; what cannot be
 * written is lost, and a line says how many were once there is room again.
 *
 * With LOG_FORMAT_JSON a line is an object, as waypost-log(5) says, in which
 * some lines have fields beside the message.
 *
 * Errors and warnings go to log/recent.h, too, and those that repeat are held
 * back and counted (log/burst.h). */
#ifndef LIB_LOG_LOG_H
#define LIB_LOG_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct str;

enum log_level {
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR,
	LOG_LEVEL_FATAL,
};

/* A member of the object that speaks. text belongs to that object; NULL: only
 * the parent's. */
struct log_ctx {
	const struct log_ctx *parent;
	const char *text;
};

enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* Whether lines on stderr begin with their priority, as sd-daemon(3) says. */
enum log_priorities {
	LOG_PRIORITIES_AUTO, /* when the journal reads it */
	LOG_PRIORITIES_YES,
	LOG_PRIORITIES_NO,
};

struct log_settings {
	const char *path;	/* log_path: "syslog", "/dev/stderr", a file */
	const char *info_path;	/* "": as path */
	const char *debug_path; /* "": as info_path */
	const char *timestamp;	/* log_timestamp: strftime format with trailing
				   blank; %{usecs} for microseconds */
	const char *syslog_facility; /* "mail", "local0", ... */
	const char *ident;	/* name towards syslog; NULL: "waypost" */
	const char *prefix;	/* behind the timestamp: "lmtp(4711): "; up to
				   "(" or ":" it is the name of the process */
	enum log_format format;
	enum log_priorities priorities;
	unsigned error_burst;	/* lines of one kind in 10 s; 0: any number */
	bool debug;		/* whether debug lines are written */
};

/* Opens the destinations; call it again after a reload. On failure (-1) the
 * earlier destinations stay. Not thread-safe against itself. Before the first
 * call everything goes to stderr. */
int log_open(const struct log_settings *settings, struct err *err);

/* Where lines go: warnings and worse, information, debugging. */
enum log_file { LOG_FILE_ERROR, LOG_FILE_INFO, LOG_FILE_DEBUG, LOG_FILES };

/* The descriptors behind the files, for handing them to a process that may not
 * open them itself; they stay the log's. -1 where a level goes to syslog,
 * stderr or the file of an earlier level. */
void log_files(int fds_r[LOG_FILES]);

/* Closes the connection to syslog, of which the C library has the descriptor: before a
 * process closes all but those of log_files(), or what gets its number would be written
 * to, and closed. The next line connects again. */
void log_disconnect(void);

/* As log_open(), with the files that another process opened by the same
 * settings: takes over the descriptors (on failure they stay the caller's). */
int log_adopt(const struct log_settings *settings, const int fds[LOG_FILES],
	      struct err *err);

/* Opens the files again under their names (after rotation). A file that cannot
 * be opened is reported and stays the old one. Any thread. */
void log_reopen(void);

/* Whether errors go to stderr. */
bool log_is_stderr(void);

/* Whether syslog_facility names one; -1 otherwise. */
int log_check_facility(const char *name, struct err *err);

/* Flushes and closes everything (stderr stays usable). */
void log_close(void);

/* Lines of one thread are collected and written with one system call by
 * log_flush(), at the end of a loop pass (and before fork() or the end of the
 * thread); error and fatal lines at once. Says how many errors were held back
 * so far, too. */
void log_flush(void);

/* For loop_set_pass_hook(): writes what is pending when it is time to: at once
 * for stderr, else when 16 KiB have come together or after 50 ms; and says how
 * many errors were held back once their ten seconds are over. Returns in how
 * many ms it wants to be asked again; 0: nothing is pending. */
unsigned log_flush_lazily(void);

bool log_enabled(enum log_level level);

/* Turns debugging on for the process, whatever the settings say; off: they count
 * again. From any thread. */
void log_want_debug(bool on);
bool log_debug_is_wanted(void);

/* Begins a line that the caller makes of many pieces: returns where to append
 * its text, unescaped, or NULL when debugging is off and the level is that.
 * log_end() must follow, and nothing that logs or flushes in between. */
struct str *log_begin(enum log_level level, const struct log_ctx *ctx);
void log_end(void);

/* As log_begin(), for an error or a warning that may repeat: NULL also when
 * log_error_burst holds it back. Lines of the same kind, which is any number
 * but 0, are counted together; log_error() and the like take the address of
 * their fmt for it. */
struct str *log_begin_kind(enum log_level level, const struct log_ctx *ctx,
			   uint64_t kind);

/* Whether lines have fields: for who would not write a line without. */
bool log_has_fields(void);

/* Ends the text of the open line and begins its fields; false when lines have
 * none, and all that follows belongs to the text. Then, until log_end(): */
bool log_begin_fields(const char *event);
void log_field(const char *name, const char *value); /* NULL: is left out */
void log_field_number(const char *name, uint64_t value);
void log_field_bool(const char *name, bool value);

/* A field with a value of many pieces: returns where to append them. */
struct str *log_begin_field(const char *name);
void log_end_field(void);

/* Writes lines to stderr that are for whoever started the program, whatever the
 * settings of the log say; with their priority where the journal reads them. text is
 * not escaped, and may end without a newline. */
void log_say(enum log_level level, const char *text);

/* Its arguments are looked at only while debugging is on. */
#define log_debug(ctx, ...) \
	do { \
		if (log_enabled(LOG_LEVEL_DEBUG)) \
			log_debug_line((ctx), __VA_ARGS__); \
	} while (0)
void log_debug_line(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_info(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_warning(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_error(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void log_fatal(const struct log_ctx *ctx, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
