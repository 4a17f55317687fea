/* waypostctl stats: what happens, each second. */
#ifndef CTL_STATS_H
#define CTL_STATS_H

/* Shows it until it is interrupted, or count times (0: no end), refreshed in
 * place on a terminal. Returns the exit status. */
int stats_run(const char *socket_path, unsigned count);

/* The same as JSON: the answers as they come, a line each. */
int stats_run_json(const char *socket_path, unsigned count);

#endif
