/* daemon.h - weftd as a whole. */
#ifndef WEFT_DAEMON_H
#define WEFT_DAEMON_H

#include "conf.h"

/* Run until a signal or `weft down`. Keeps @conf for the call. Returns the process's exit status: 0
 * after a clean stop, 1 when it could not start (the log says why and what to do). */
int daemon_run(struct conf *conf);
/* weftd --down: remove all that weft ever installed, printing each thing. Exit status. */
int daemon_down(void);
/* weftd --check: are configuration, secret and host fit? Starts nothing. Exit status. */
int daemon_check(struct conf *conf);

#endif
