/* rcu.c - see rcu.h.
 *
 * liburcu is not built with the thread sanitizer, so the sanitizer does not see that a grace period
 * orders a reader's last use before the writer's free. The two annotations below say exactly that and
 * no more: a reader that passes a quiescent state releases, a writer that waited acquires. Freeing
 * without waiting therefore is still reported (test_dp_planted shows it). */
#include "rcu.h"

#include <urcu-qsbr.h>

#if defined(__SANITIZE_THREAD__)
#define RCU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RCU_TSAN 1
#endif
#endif

#ifdef RCU_TSAN
#include <sanitizer/tsan_interface.h>
static char order;
#define READER_PASSED() __tsan_release(&order)
#define WRITER_WAITED() __tsan_acquire(&order)
#else
#define READER_PASSED() ((void)0)
#define WRITER_WAITED() ((void)0)
#endif

void rcu_reader_begin(void)
{
	urcu_qsbr_register_thread();
}

void rcu_reader_end(void)
{
	READER_PASSED();
	urcu_qsbr_unregister_thread();
}

void rcu_quiescent(void)
{
	READER_PASSED();
	urcu_qsbr_quiescent_state();
}

void rcu_offline(void)
{
	READER_PASSED();
	urcu_qsbr_thread_offline();
}

void rcu_online(void)
{
	urcu_qsbr_thread_online();
}

void rcu_wait(void)
{
	urcu_qsbr_synchronize_rcu();
	WRITER_WAITED();
}

void rcu_defer(struct rcu_bin *bin, void (*release)(void *mem), void *mem)
{
	if (bin->count == RCU_BIN_ITEMS)
		rcu_empty(bin);
	bin->item[bin->count].release = release;
	bin->item[bin->count].mem = mem;
	bin->count++;
}

void rcu_empty(struct rcu_bin *bin)
{
	if (bin->count == 0)
		return;
	rcu_wait();
	for (unsigned i = 0; i < bin->count; i++)
		bin->item[i].release(bin->item[i].mem);
	bin->count = 0;
}
