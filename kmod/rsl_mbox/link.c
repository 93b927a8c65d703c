// SPDX-License-Identifier: GPL-2.0-only
/*
 * The link itself: its kicks, its notifications, their masks, its counters and its end.
 *
 * This file calls no other file of the module. A kick goes to the transport's
 * operations. A notification wakes the readers, and goes to the eventfds by the link's
 * callback "signal". rsl_mbox_link_init() is given both.
 *
 * A kick holds no lock of ours while the transport sends it, only the RCU read lock.
 * The end of a link waits for all who are inside.
 *
 * On PREEMPT_RT no function of this file may be called in hard interrupt context. The
 * kernel runs the handlers of doorbell.c in threads there, and mailbox.c takes care of
 * the callbacks of controllers.
 */
#include <linux/bitops.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>
#include <asm/barrier.h>

#include "compat.h"
#include "rsl_mbox.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Notifications are counted in windows of this length, to find a storm. */
#define STORMS_PER_SECOND	10
#define STORM_WINDOW_MS		(MSEC_PER_SEC / STORMS_PER_SECOND)

/* Far more than a virtio device needs. An interrupt takes some microseconds. */
#define STORM_LIMIT		100000

/*
 * The most time of a window in deliveries, on any controller and with any number of
 * eventfds. The entry of an interrupt, and its controller, take as much again.
 */
#define STORM_SPENT_MS		(STORM_WINDOW_MS / 4)

/* Fewer in a window are no storm: a hypervisor may have taken the core away meanwhile. */
#define STORM_FEWEST		100

/**
 * rsl_mbox_kick() - kick vectors of a link
 * @link: the link
 * @mask: the vectors, one bit each; 0 kicks nothing
 *
 * Context: any, but not hard interrupt context on PREEMPT_RT.
 * Return: 0; -ENODEV if the device is gone; -EINVAL if @mask has a bit for a vector
 * that @link does not have. Nothing is kicked on an error.
 */
int rsl_mbox_kick(struct rsl_mbox *link, u32 mask)
{
	unsigned long vectors = mask;
	unsigned int n;
	u32 coalesced;

	/*
	 * A kick releases: the remote sees what was written to the shared memory before.
	 * This has to hold for a remote outside of the inner shareable domain, and before
	 * a relaxed write of the controller's driver. So smp_wmb() is not enough.
	 */
	wmb();
	rcu_read_lock();
	if (rsl_mbox_dead(link)) {
		rcu_read_unlock();
		return -ENODEV;
	}
	if (mask & ~rsl_mbox_valid_mask(link)) {
		rcu_read_unlock();
		return -EINVAL;
	}
	coalesced = link->transport->kick(link, mask);
	rcu_read_unlock();

	trace_rsl_mbox_kick(link->id, mask, coalesced);
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS) {
		atomic64_inc(&link->vector[n].kicks);
		if (coalesced & BIT(n))
			atomic64_inc(&link->vector[n].kicks_coalesced);
	}
	return 0;
}

/*
 * Wakes every waiter, exclusive ones (EPOLLEXCLUSIVE) as well: all open files share the
 * wait queue, and each of them has an event to report.
 */
static void rsl_mbox_wake(struct rsl_mbox *link, __poll_t events)
{
	__wake_up(&link->wait, TASK_NORMAL, 0, poll_to_key(events));
}

/* Tell user space of notifications. */
static void rsl_mbox_deliver(struct rsl_mbox *link, u32 mask)
{
	unsigned long vectors = mask;
	unsigned int n;

	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		if (READ_ONCE(link->vector[n].bound[RSL_MBOX_NOTIFY]))
			link->signal(link, n);
	rsl_mbox_wake(link, EPOLLIN | EPOLLRDNORM);
}

static u32 rsl_mbox_masked(const struct rsl_mbox *link)
{
	return READ_ONCE(link->masked) | READ_ONCE(link->fired) | READ_ONCE(link->storming);
}

/**
 * rsl_mbox_all_masked() - whether each one of some vectors is masked
 * @link: the link
 * @vectors: the vectors
 *
 * A transport that can withhold an acknowledgment does so if this is true, until its
 * operation "unmasked".
 *
 * Context: any, but not hard interrupt context on PREEMPT_RT.
 * Return: true if it is so.
 */
bool rsl_mbox_all_masked(struct rsl_mbox *link, u32 vectors)
{
	return !(vectors & ~rsl_mbox_masked(link));
}

/* Have the transport mask what is masked. */
static void rsl_mbox_mask_irqs(struct rsl_mbox *link)
{
	lockdep_assert_held(&link->lock);
	if (link->transport->mask && !link->dead)
		link->transport->mask(link, rsl_mbox_masked(link));
}

/* Take notifications of vectors. Returns those that the caller has to deliver. */
static u32 rsl_mbox_admit(struct rsl_mbox *link, u32 mask)
{
	u32 masked = rsl_mbox_masked(link);
	unsigned long vectors;
	unsigned int n;
	u64 seq;

	lockdep_assert_held(&link->lock);
	link->latched |= mask & masked;
	mask &= ~masked;
	if (!mask)
		return 0;
	seq = atomic64_read(&link->seq) + 1;
	vectors = mask;
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		link->vector[n].seq = seq;
	/* A reader that sees the new seq takes the lock. */
	atomic64_set(&link->seq, seq);
	if (mask & link->oneshot) {
		WRITE_ONCE(link->fired, link->fired | (mask & link->oneshot));
		rsl_mbox_mask_irqs(link);
	}
	return mask;
}

/*
 * Begin a new window if the last one is over. What came in it decides whether there is a
 * storm.
 */
static void rsl_mbox_window(struct rsl_mbox *link, ktime_t now)
{
	unsigned int n;

	lockdep_assert_held(&link->lock);
	if (ktime_before(now, link->window_end))
		return;
	link->window_end = ktime_add_ms(now, STORM_WINDOW_MS);
	link->spent = 0;
	link->delivered = 0;
	for (n = 0; n < link->vectors; n++)
		link->vector[n].delivered = 0;
}

/* Mask a vector, and those that are masked with it, because of too many notifications. */
static void rsl_mbox_storm(struct rsl_mbox *link, struct rsl_mbox_vector *vector)
{
	u32 storming = link->storming | vector->group;

	lockdep_assert_held(&link->lock);
	/* Its notifications of this window may still be under way. */
	if (storming == link->storming || link->dead)
		return;
	vector->storms++;
	WRITE_ONCE(link->storming, storming);
	rsl_mbox_mask_irqs(link);
	schedule_delayed_work(&link->calm_work, msecs_to_jiffies(STORM_WINDOW_MS));
}

/* Count notifications that the caller delivers. */
static void rsl_mbox_count_delivered(struct rsl_mbox *link, u32 mask)
{
	unsigned long vectors = mask;
	unsigned int n;

	lockdep_assert_held(&link->lock);
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS) {
		link->delivered++;
		if (++link->vector[n].delivered > link->storm_most)
			rsl_mbox_storm(link, &link->vector[n]);
	}
}

/* How often the running task was switched out: in an interrupt, this does not change. */
static unsigned long rsl_mbox_switches(void)
{
	return current->nvcsw + current->nivcsw;
}

/*
 * Count the time that a delivery took. Where it is too much of a window, the vectors are
 * masked to which it is due: those with no less than an equal part of the deliveries.
 *
 * A thread that was switched out was preempted by who was woken, whose time is not the
 * remote's. So it counts for no more than the last one that was not.
 */
static void rsl_mbox_count_spent(struct rsl_mbox *link, u32 mask, ktime_t since,
				 bool switched)
{
	ktime_t spent = ktime_sub(ktime_get(), since);
	unsigned long vectors = mask;
	unsigned long flags;
	unsigned int n;

	spin_lock_irqsave(&link->lock, flags);
	if (!switched)
		link->cost = spent;
	link->spent = ktime_add(link->spent, min(spent, link->cost));
	if (ktime_to_ms(link->spent) >= STORM_SPENT_MS && link->storm_limit &&
	    link->delivered >= STORM_FEWEST)
		for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
			if ((u64)link->vector[n].delivered * link->vectors >= link->delivered)
				rsl_mbox_storm(link, &link->vector[n]);
	spin_unlock_irqrestore(&link->lock, flags);
}

/**
 * rsl_mbox_notify() - take notifications from the remote
 * @link: the link
 * @mask: the notified vectors, one bit each; at least one, and all of them exist
 * @since: CLOCK_MONOTONIC time when the transport began to handle them
 *
 * A transport calls this once for each interrupt.
 *
 * Context: any, but not hard interrupt context on PREEMPT_RT.
 */
void rsl_mbox_notify(struct rsl_mbox *link, u32 mask, ktime_t since)
{
	unsigned long switches = rsl_mbox_switches();
	unsigned long vectors = mask;
	unsigned long flags;
	unsigned int n;

	/*
	 * A notification acquires: who is woken sees what the remote wrote to the shared
	 * memory before. The counterpart of the barrier in rsl_mbox_kick().
	 */
	rmb();
	trace_rsl_mbox_notify(link->id, mask);
	spin_lock_irqsave(&link->lock, flags);
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS) {
		link->vector[n].notifications++;
		link->vector[n].notified_at = since;
	}
	rsl_mbox_window(link, since);
	mask = rsl_mbox_admit(link, mask);
	rsl_mbox_count_delivered(link, mask);
	spin_unlock_irqrestore(&link->lock, flags);
	if (!mask)
		return;
	rsl_mbox_deliver(link, mask);
	rsl_mbox_count_spent(link, mask, since, switches != rsl_mbox_switches());
}

/**
 * rsl_mbox_repeat() - deliver notifications that were counted before
 * @link: the link
 * @mask: the vectors, one bit each, beside those that came while they were masked
 *
 * Context: any, but not hard interrupt context on PREEMPT_RT.
 */
void rsl_mbox_repeat(struct rsl_mbox *link, u32 mask)
{
	unsigned long flags;

	spin_lock_irqsave(&link->lock, flags);
	mask |= link->latched;
	link->latched = 0;
	mask = rsl_mbox_admit(link, mask);
	spin_unlock_irqrestore(&link->lock, flags);
	if (mask)
		rsl_mbox_deliver(link, mask);
}

/* Deliver what came while it was masked. Called without a lock after a mask has ended. */
static void rsl_mbox_unmasked(struct rsl_mbox *link)
{
	/* The remote may send again from here on, and what it sends now is delivered. */
	rcu_read_lock();
	if (link->transport->unmasked && !rsl_mbox_dead(link))
		link->transport->unmasked(link);
	rcu_read_unlock();
	rsl_mbox_repeat(link, 0);
}

static void rsl_mbox_calm(struct work_struct *work)
{
	struct rsl_mbox *link =
		container_of(to_delayed_work(work), struct rsl_mbox, calm_work);
	unsigned long flags;

	spin_lock_irqsave(&link->lock, flags);
	WRITE_ONCE(link->storming, 0);
	rsl_mbox_mask_irqs(link);
	spin_unlock_irqrestore(&link->lock, flags);
	rsl_mbox_unmasked(link);
}

/* Count one file more, or less, that wants @vectors. Returns the vectors that any wants. */
static u32 rsl_mbox_want(struct rsl_mbox *link, unsigned int kind, u32 mask, bool more)
{
	unsigned long vectors = mask;
	unsigned int n;
	u32 wanted = 0;

	lockdep_assert_held(&link->lock);
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS)
		link->vector[n].wanted[kind] += more ? 1 : -1;
	for (n = 0; n < link->vectors; n++)
		if (link->vector[n].wanted[kind])
			wanted |= BIT(n);
	return wanted;
}

/**
 * rsl_mbox_mask() - change which notifications may come
 * @link: the link
 * @own: the masks of the file that asks for it; changed accordingly
 * @vectors: the vectors, all of which exist
 * @action: RSL_MBOX_MASK, RSL_MBOX_UNMASK, RSL_MBOX_ONESHOT or RSL_MBOX_CONTINUOUS
 *
 * Context: process.
 */
void rsl_mbox_mask(struct rsl_mbox *link, struct rsl_mbox_masks *own, u32 vectors,
		   u32 action)
{
	bool more = action == RSL_MBOX_MASK || action == RSL_MBOX_ONESHOT;
	bool oneshot = action == RSL_MBOX_ONESHOT || action == RSL_MBOX_CONTINUOUS;
	u32 *mine = oneshot ? &own->oneshot : &own->masked;
	u32 change, wanted, fired;
	unsigned long flags;
	bool unmasked;

	spin_lock_irqsave(&link->lock, flags);
	change = more ? vectors & ~*mine : vectors & *mine;
	*mine ^= change;
	fired = link->fired;
	if (oneshot) {
		wanted = rsl_mbox_want(link, RSL_MBOX_WANTED_ONESHOT, change, more);
		WRITE_ONCE(link->oneshot, wanted);
		/*
		 * What fired before a file came has nothing to read for it, and what fired
		 * for a file that goes may never be read.
		 */
		WRITE_ONCE(link->fired, fired & wanted & ~change);
	} else {
		wanted = rsl_mbox_want(link, RSL_MBOX_WANTED_MASK, change, more);
		WRITE_ONCE(link->masked, wanted);
		if (!more)
			WRITE_ONCE(link->fired, fired & ~vectors);
	}
	unmasked = !more || fired != link->fired;
	rsl_mbox_mask_irqs(link);
	spin_unlock_irqrestore(&link->lock, flags);
	if (unmasked)
		rsl_mbox_unmasked(link);
}

/**
 * rsl_mbox_rearm() - let armed vectors fire again, because they were read
 * @link: the link
 * @vectors: the vectors; those that did not fire do not matter
 *
 * Context: process.
 */
void rsl_mbox_rearm(struct rsl_mbox *link, u32 vectors)
{
	unsigned long flags;

	if (!(READ_ONCE(link->fired) & vectors))
		return;
	spin_lock_irqsave(&link->lock, flags);
	WRITE_ONCE(link->fired, link->fired & ~vectors);
	rsl_mbox_mask_irqs(link);
	spin_unlock_irqrestore(&link->lock, flags);
	rsl_mbox_unmasked(link);
}

/**
 * rsl_mbox_set_storm_limit() - set how many notifications are a storm
 * @link: the link
 * @limit: the most notifications of a vector per second; 0 for no limit
 *
 * Context: any, but not hard interrupt context on PREEMPT_RT.
 */
void rsl_mbox_set_storm_limit(struct rsl_mbox *link, u32 limit)
{
	WRITE_ONCE(link->storm_limit, limit);
	WRITE_ONCE(link->storm_most,
		   limit ? (limit - 1) / STORMS_PER_SECOND + 1 : U32_MAX);
}

/**
 * rsl_mbox_label() - read the label of a link
 * @link: the link
 * @label: RSL_MBOX_LABEL_SIZE bytes
 *
 * Context: process.
 */
void rsl_mbox_label(struct rsl_mbox *link, char *label)
{
	spin_lock_irq(&link->lock);
	memcpy(label, link->label, sizeof(link->label));
	spin_unlock_irq(&link->lock);
}

/**
 * rsl_mbox_set_label() - change the label of a link that no device tree names
 * @link: the link
 * @label: the label, without a NUL at its end
 * @length: its length in bytes, 1 to RSL_MBOX_LABEL_SIZE - 1
 *
 * Context: process.
 */
void rsl_mbox_set_label(struct rsl_mbox *link, const char *label, size_t length)
{
	spin_lock_irq(&link->lock);
	memset(link->label, 0, sizeof(link->label));
	memcpy(link->label, label, length);
	spin_unlock_irq(&link->lock);
}

/**
 * rsl_mbox_count() - read the counters of a vector
 * @link: the link
 * @n: number of the vector, which exists
 * @stat: all members but @stat->vector are filled in
 *
 * Context: process.
 */
void rsl_mbox_count(struct rsl_mbox *link, unsigned int n,
		    struct rsl_mbox_vector_stat *stat)
{
	struct rsl_mbox_vector *vector = &link->vector[n];

	stat->kicks = atomic64_read(&vector->kicks);
	stat->kicks_coalesced = atomic64_read(&vector->kicks_coalesced);

	spin_lock_irq(&link->lock);
	stat->notifications = vector->notifications;
	stat->last_notification = ktime_to_ns(vector->notified_at);
	stat->storms = vector->storms;
	spin_unlock_irq(&link->lock);
}

/**
 * rsl_mbox_link_init() - initialise a link
 * @link: the link, all zero
 * @transport: sends the kicks
 * @vectors: number of vectors, 1 to RSL_MBOX_MAX_VECTORS
 * @signal: signals the eventfds of a vector; see struct rsl_mbox
 */
void rsl_mbox_link_init(struct rsl_mbox *link, const struct rsl_mbox_transport *transport,
			unsigned int vectors,
			void (*signal)(struct rsl_mbox *link, unsigned int vector))
{
	unsigned int n;

	link->transport = transport;
	link->vectors = vectors;
	link->signal = signal;
	spin_lock_init(&link->lock);
	init_waitqueue_head(&link->wait);
	mutex_init(&link->bind_mutex);
	init_rwsem(&link->memory_lock);
	INIT_DELAYED_WORK(&link->calm_work, rsl_mbox_calm);
	rsl_mbox_set_storm_limit(link, STORM_LIMIT);
	for (n = 0; n < vectors; n++) {
		link->vector[n].group = BIT(n);
		INIT_LIST_HEAD(&link->vector[n].bindings[RSL_MBOX_NOTIFY]);
		INIT_LIST_HEAD(&link->vector[n].bindings[RSL_MBOX_KICK]);
	}
}

/**
 * rsl_mbox_kill() - end a link, because its device is gone
 * @link: the link
 *
 * Nobody is in an operation of the transport after this, and nobody enters one. All
 * readers and pollers wake up. Notifications may still come, until the transport frees
 * its interrupts.
 *
 * Context: process; sleeps.
 */
void rsl_mbox_kill(struct rsl_mbox *link)
{
	spin_lock_irq(&link->lock);
	WRITE_ONCE(link->dead, true);
	spin_unlock_irq(&link->lock);
	synchronize_rcu();
	cancel_delayed_work_sync(&link->calm_work);
	rsl_mbox_wake(link, EPOLLHUP | EPOLLERR);
}
