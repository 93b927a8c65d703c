// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eventfds bound to vectors. In one direction, a notification signals the eventfds. In
 * the other direction, a signal on an eventfd kicks the vector.
 *
 * A binding holds a reference to the eventfd's context, to the link's device and, until
 * it ends, to the module. It is in the list of its vector and direction. Three events end it:
 *
 * - unbinding,
 * - the end of the link,
 * - the last close of the eventfd. The entry in the eventfd's wait queue reports it.
 *
 * The one that takes the binding out of its list, under bind_mutex, releases it. A
 * notification that walks the list meanwhile may signal the eventfd once more, so the
 * binding is freed after an RCU grace period. The file that asked for a binding may be
 * closed before the binding ends.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "rsl_mbox.h"

/* Used for the end of bindings. Flushed before the module's code goes away. */
static struct workqueue_struct *rsl_mbox_wq;

/**
 * struct rsl_mbox_binding - an eventfd bound to a vector, in one direction
 * @link: the link; the binding holds a reference to its device
 * @entry: entry in the list of the vector and direction
 * @listed: the binding is in the list; guarded by bind_mutex
 * @vector: number of the vector
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 * @ctx: the eventfd; the binding holds a reference
 * @head: wait queue of the eventfd
 * @wait: entry in @head
 * @poll: poll table; its only use is to find @head
 * @closed: work that releases the binding after the last close of the eventfd
 * @free: work that frees the binding after a grace period
 */
struct rsl_mbox_binding {
	struct rsl_mbox *link;
	struct list_head entry;
	bool listed;
	unsigned int vector;
	unsigned int direction;
	struct eventfd_ctx *ctx;
	wait_queue_head_t *head;
	wait_queue_entry_t wait;
	poll_table poll;
	struct work_struct closed;
	struct rcu_work free;
};

static void rsl_mbox_binding_free(struct rsl_mbox_binding *binding)
{
	eventfd_ctx_put(binding->ctx);
	put_device(&binding->link->dev);
	kfree(binding);
}

static void rsl_mbox_binding_free_work(struct work_struct *work)
{
	rsl_mbox_binding_free(container_of(to_rcu_work(work), struct rsl_mbox_binding,
					   free));
}

/* The binding is in no list and no wait queue. The module can be unloaded from now on. */
static void rsl_mbox_binding_end(struct rsl_mbox_binding *binding)
{
	/* The module's exit waits for the work, so it has to be queued by then. */
	queue_rcu_work(rsl_mbox_wq, &binding->free);
	module_put(THIS_MODULE);
}

/* Take a binding out of its list. Returns false if another caller has done so. */
static bool rsl_mbox_binding_leave(struct rsl_mbox_binding *binding)
{
	struct rsl_mbox_vector *vector = &binding->link->vector[binding->vector];

	lockdep_assert_held(&binding->link->bind_mutex);
	if (!binding->listed)
		return false;
	binding->listed = false;
	list_del_rcu(&binding->entry);
	WRITE_ONCE(vector->bound[binding->direction],
		   vector->bound[binding->direction] - 1);
	return true;
}

static void rsl_mbox_binding_closed(struct work_struct *work)
{
	struct rsl_mbox_binding *binding =
		container_of(work, struct rsl_mbox_binding, closed);
	struct rsl_mbox *link = binding->link;
	bool mine;

	mutex_lock(&link->bind_mutex);
	mine = rsl_mbox_binding_leave(binding);
	mutex_unlock(&link->bind_mutex);
	/* Who else has taken it out waits for this work. */
	if (!mine)
		return;
	remove_wait_queue(binding->head, &binding->wait);
	rsl_mbox_binding_end(binding);
}

/* The caller has taken the binding out of its list, and holds no lock. */
static void rsl_mbox_binding_release(struct rsl_mbox_binding *binding)
{
	/*
	 * After this no wake-up runs, so none queues the work again. The eventfd's
	 * count belongs to its reader. eventfd_ctx_remove_wait_queue() would reset it.
	 */
	remove_wait_queue(binding->head, &binding->wait);
	cancel_work_sync(&binding->closed);
	rsl_mbox_binding_end(binding);
}

/* Called with the lock of the eventfd's wait queue held and interrupts off. */
static int rsl_mbox_binding_wake(wait_queue_entry_t *wait, unsigned int mode,
				 int sync, void *key)
{
	struct rsl_mbox_binding *binding =
		container_of(wait, struct rsl_mbox_binding, wait);
	__poll_t events = key_to_poll(key);

	if (events & EPOLLIN && binding->direction == RSL_MBOX_KICK) {
		rsl_eventfd_consume(binding->ctx);
		rsl_mbox_kick(binding->link, BIT(binding->vector));
	}
	if (events & EPOLLHUP)
		queue_work(rsl_mbox_wq, &binding->closed);
	return 0;
}

static void rsl_mbox_binding_enqueue(struct file *file, wait_queue_head_t *head,
				     poll_table *poll)
{
	struct rsl_mbox_binding *binding =
		container_of(poll, struct rsl_mbox_binding, poll);

	binding->head = head;
	add_wait_queue(head, &binding->wait);
}

/* Take what the eventfd counted before it was bound. */
static void rsl_mbox_binding_take(struct rsl_mbox_binding *binding)
{
	spin_lock_irq(&binding->head->lock);
	rsl_eventfd_consume(binding->ctx);
	/* Who waited for room for its count has it now. */
	wake_up_locked_poll(binding->head, EPOLLOUT);
	spin_unlock_irq(&binding->head->lock);
	rsl_mbox_kick(binding->link, BIT(binding->vector));
}

/**
 * rsl_mbox_eventfd_signal() - signal the eventfds of a vector that was notified
 * @link: the link
 * @vector: number of the vector, which exists
 *
 * Context: any, but not hard interrupt context on PREEMPT_RT.
 */
void rsl_mbox_eventfd_signal(struct rsl_mbox *link, unsigned int vector)
{
	struct rsl_mbox_binding *binding;

	rcu_read_lock();
	list_for_each_entry_rcu(binding, &link->vector[vector].bindings[RSL_MBOX_NOTIFY],
				entry)
		rsl_eventfd_signal(binding->ctx);
	rcu_read_unlock();
}

/* Return the binding of an eventfd to a vector, NULL if there is none. */
static struct rsl_mbox_binding *rsl_mbox_binding_find(struct rsl_mbox *link,
						      unsigned int vector,
						      unsigned int direction,
						      struct eventfd_ctx *ctx)
{
	struct rsl_mbox_binding *binding;

	lockdep_assert_held(&link->bind_mutex);
	list_for_each_entry(binding, &link->vector[vector].bindings[direction], entry)
		if (binding->ctx == ctx)
			return binding;
	return NULL;
}

/* Add a new binding to its list, and to the wait queue of its eventfd. */
static int rsl_mbox_binding_add(struct rsl_mbox_binding *binding, struct file *file)
{
	unsigned int n = binding->vector, direction = binding->direction;
	struct rsl_mbox *link = binding->link;
	struct rsl_mbox_vector *vector = &link->vector[n];
	__poll_t events;

	lockdep_assert_held(&link->bind_mutex);
	/* Nothing would end a binding that is made after the link is dead. */
	if (rsl_mbox_dead(link))
		return -ENODEV;
	if (rsl_mbox_binding_find(link, n, direction, binding->ctx))
		return -EEXIST;
	if (vector->bound[direction] >= RSL_MBOX_MAX_BINDINGS)
		return -ENOSPC;
	binding->listed = true;
	list_add_tail_rcu(&binding->entry, &vector->bindings[direction]);
	WRITE_ONCE(vector->bound[direction], vector->bound[direction] + 1);
	/* The caller holds the file open, so the last close comes after this. */
	events = vfs_poll(file, &binding->poll);
	if (events & EPOLLIN && direction == RSL_MBOX_KICK)
		rsl_mbox_binding_take(binding);
	return 0;
}

/**
 * rsl_mbox_eventfd_bind() - bind an eventfd to a vector
 * @link: the link
 * @vector: number of the vector, which exists
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 * @fd: descriptor of the eventfd in the calling process
 *
 * If the eventfd is bound for kicks and is signalled already, it kicks at once.
 *
 * Context: process; may sleep.
 * Return: 0; -EBADF if @fd is not open; -EINVAL if it is not an eventfd; -EEXIST if it
 * is bound there already; -ENOSPC if the vector has no room for it; -ENODEV if the
 * device is gone; -ENOMEM.
 */
int rsl_mbox_eventfd_bind(struct rsl_mbox *link, unsigned int vector,
			  unsigned int direction, int fd)
{
	struct rsl_mbox_binding *binding;
	struct file *file;
	int ret;

	file = eventfd_fget(fd);
	if (IS_ERR(file))
		return PTR_ERR(file);

	binding = kzalloc(sizeof(*binding), GFP_KERNEL_ACCOUNT);
	if (!binding) {
		fput(file);
		return -ENOMEM;
	}
	binding->vector = vector;
	binding->direction = direction;
	binding->ctx = eventfd_ctx_fileget(file);
	INIT_WORK(&binding->closed, rsl_mbox_binding_closed);
	INIT_RCU_WORK(&binding->free, rsl_mbox_binding_free_work);
	init_waitqueue_func_entry(&binding->wait, rsl_mbox_binding_wake);
	init_poll_funcptr(&binding->poll, rsl_mbox_binding_enqueue);
	__module_get(THIS_MODULE);
	get_device(&link->dev);
	binding->link = link;

	mutex_lock(&link->bind_mutex);
	ret = rsl_mbox_binding_add(binding, file);
	mutex_unlock(&link->bind_mutex);
	if (ret == -ENOSPC) {
		/* Eventfds that are closed already may wait for the work to leave. */
		flush_workqueue(rsl_mbox_wq);
		mutex_lock(&link->bind_mutex);
		ret = rsl_mbox_binding_add(binding, file);
		mutex_unlock(&link->bind_mutex);
	}
	if (ret) {
		rsl_mbox_binding_free(binding);
		module_put(THIS_MODULE);
	}
	fput(file);
	return ret;
}

/**
 * rsl_mbox_eventfd_unbind() - unbind an eventfd from a vector
 * @link: the link
 * @vector: number of the vector, which exists
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 * @fd: descriptor of the eventfd in the calling process
 *
 * Context: process; may sleep.
 * Return: 0; -EBADF if @fd is not open; -EINVAL if it is not an eventfd; -ENOENT if it
 * is not bound there.
 */
int rsl_mbox_eventfd_unbind(struct rsl_mbox *link, unsigned int vector,
			    unsigned int direction, int fd)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fdget(fd);
	struct rsl_mbox_binding *binding;

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	mutex_lock(&link->bind_mutex);
	binding = rsl_mbox_binding_find(link, vector, direction, ctx);
	if (binding)
		rsl_mbox_binding_leave(binding);
	mutex_unlock(&link->bind_mutex);
	eventfd_ctx_put(ctx);
	if (!binding)
		return -ENOENT;
	rsl_mbox_binding_release(binding);
	return 0;
}

/* Take any binding of a link out of its list. Returns NULL if there is none. */
static struct rsl_mbox_binding *rsl_mbox_binding_take_any(struct rsl_mbox *link)
{
	struct rsl_mbox_binding *binding = NULL;
	unsigned int n;

	mutex_lock(&link->bind_mutex);
	for (n = 0; n < link->vectors * RSL_MBOX_DIRECTIONS && !binding; n++)
		binding = list_first_entry_or_null(&link->vector[n / RSL_MBOX_DIRECTIONS]
						   .bindings[n % RSL_MBOX_DIRECTIONS],
						   struct rsl_mbox_binding, entry);
	if (binding)
		rsl_mbox_binding_leave(binding);
	mutex_unlock(&link->bind_mutex);
	return binding;
}

/**
 * rsl_mbox_eventfd_unbind_all() - unbind all eventfds of a link
 * @link: the link, which is dead
 *
 * Context: process; may sleep.
 */
void rsl_mbox_eventfd_unbind_all(struct rsl_mbox *link)
{
	struct rsl_mbox_binding *binding;

	while ((binding = rsl_mbox_binding_take_any(link)))
		rsl_mbox_binding_release(binding);
}

/**
 * rsl_mbox_eventfd_init() - allocate the work queue
 *
 * Return: 0 or -ENOMEM.
 */
int __init rsl_mbox_eventfd_init(void)
{
	rsl_mbox_wq = alloc_workqueue("rsl_mbox", WQ_UNBOUND, 0);
	return rsl_mbox_wq ? 0 : -ENOMEM;
}

/* Called on the error path of the module's init, too. */
void rsl_mbox_eventfd_exit(void)
{
	/* A binding that still waits for its grace period is not in the work queue yet. */
	rcu_barrier();
	destroy_workqueue(rsl_mbox_wq);
}
