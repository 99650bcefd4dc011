/* loop_base.h - libevent's base of a loop, for the files of this folder only. */
#ifndef WEFT_LOOP_BASE_H
#define WEFT_LOOP_BASE_H

#include <event2/event.h>
#include "loop.h"

struct event_base *loop_base(struct loop *l);

#endif
