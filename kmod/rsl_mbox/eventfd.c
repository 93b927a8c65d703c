// SPDX-License-Identifier: GPL-2.0-only
/*
 * Eventfds bound to vectors. In one direction, a notification signals the eventfd. In
 * the other direction, a signal on the eventfd kicks the vector.
 *
 * A binding holds a reference to the eventfd's context, to the link's device and to
 * the module. It is in the slot of its vector and direction. Four events end it:
 *
 * - unbinding,
 * - a new binding of the same slot,
 * - the end of the link,
 * - the last close of the eventfd. The entry in the eventfd's wait queue reports it.
 *
 * The one that takes the binding out of its slot, under notify_lock, releases it.
 * The file that asked for a binding may be closed before the binding ends.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "rsl_mbox.h"

/* Used for the last close only. Flushed before the module's code goes away. */
static struct workqueue_struct *rsl_mbox_wq;

/**
 * struct rsl_mbox_binding - an eventfd bound to a vector, in one direction
 * @link: the link; the binding holds a reference to its device
 * @vector: number of the vector
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 * @ctx: the eventfd; the binding holds a reference
 * @head: wait queue of the eventfd
 * @wait: entry in @head
 * @poll: poll table; its only use is to find @head
 * @closed: work that releases the binding after the last close of the eventfd
 */
struct rsl_mbox_binding {
	struct rsl_mbox *link;
	unsigned int vector;
	unsigned int direction;
	struct eventfd_ctx *ctx;
	wait_queue_head_t *head;
	wait_queue_entry_t wait;
	poll_table poll;
	struct work_struct closed;
};

/* Put @new into a slot. The caller has to release the binding that is returned. */
static struct rsl_mbox_binding *rsl_mbox_slot_set(struct rsl_mbox *link,
						  unsigned int vector,
						  unsigned int direction,
						  struct rsl_mbox_binding *new)
{
	struct rsl_mbox_binding *old;
	unsigned long flags;

	spin_lock_irqsave(&link->notify_lock, flags);
	old = link->vector[vector].bound[direction];
	link->vector[vector].bound[direction] = new;
	spin_unlock_irqrestore(&link->notify_lock, flags);
	return old;
}

/* Take @binding out of its slot. Returns false if another caller has done so. */
static bool rsl_mbox_slot_leave(struct rsl_mbox_binding *binding)
{
	struct rsl_mbox *link = binding->link;
	struct rsl_mbox_binding **slot;
	unsigned long flags;
	bool mine;

	spin_lock_irqsave(&link->notify_lock, flags);
	slot = &link->vector[binding->vector].bound[binding->direction];
	mine = *slot == binding;
	if (mine)
		*slot = NULL;
	spin_unlock_irqrestore(&link->notify_lock, flags);
	return mine;
}

/* The binding is in no slot. Its work does not run and will not run. */
static void rsl_mbox_binding_free(struct rsl_mbox_binding *binding)
{
	eventfd_ctx_put(binding->ctx);
	put_device(&binding->link->dev);
	kfree(binding);
	module_put(THIS_MODULE);
}

static void rsl_mbox_binding_closed(struct work_struct *work)
{
	struct rsl_mbox_binding *binding =
		container_of(work, struct rsl_mbox_binding, closed);

	if (!rsl_mbox_slot_leave(binding))
		return;
	remove_wait_queue(binding->head, &binding->wait);
	rsl_mbox_binding_free(binding);
}

/* The caller has taken the binding, which may be NULL, out of its slot. */
static void rsl_mbox_binding_release(struct rsl_mbox_binding *binding)
{
	if (!binding)
		return;
	/*
	 * After this no wake-up runs, so none queues the work again. The eventfd's
	 * count belongs to its reader. eventfd_ctx_remove_wait_queue() would reset it.
	 */
	remove_wait_queue(binding->head, &binding->wait);
	cancel_work_sync(&binding->closed);
	rsl_mbox_binding_free(binding);
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

/**
 * rsl_mbox_eventfd_signal() - signal the eventfd of a vector that was notified
 * @binding: binding of the vector for notifications
 *
 * Context: any, interrupts included. The link's notify_lock is held.
 */
void rsl_mbox_eventfd_signal(struct rsl_mbox_binding *binding)
{
	lockdep_assert_held(&binding->link->notify_lock);
	rsl_eventfd_signal(binding->ctx);
}

/**
 * rsl_mbox_eventfd_bind() - bind an eventfd to a vector
 * @link: the link
 * @vector: number of the vector, which exists
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 * @fd: descriptor of the eventfd in the calling process
 *
 * The binding replaces an earlier one of the same vector and direction. If the
 * eventfd is bound for kicks and is signalled already, it kicks at once.
 *
 * Context: process; may sleep.
 * Return: 0; -EBADF if @fd is not open; -EINVAL if it is not an eventfd; -ENODEV if
 * the device is gone; -ENOMEM.
 */
int rsl_mbox_eventfd_bind(struct rsl_mbox *link, unsigned int vector,
			  unsigned int direction, int fd)
{
	struct rsl_mbox_binding *binding, *old;
	struct file *file;
	__poll_t events;

	file = eventfd_fget(fd);
	if (IS_ERR(file))
		return PTR_ERR(file);

	binding = kzalloc(sizeof(*binding), GFP_KERNEL);
	if (!binding) {
		fput(file);
		return -ENOMEM;
	}
	binding->vector = vector;
	binding->direction = direction;
	binding->ctx = eventfd_ctx_fileget(file);
	INIT_WORK(&binding->closed, rsl_mbox_binding_closed);
	init_waitqueue_func_entry(&binding->wait, rsl_mbox_binding_wake);
	init_poll_funcptr(&binding->poll, rsl_mbox_binding_enqueue);
	__module_get(THIS_MODULE);
	get_device(&link->dev);
	binding->link = link;

	/* Nothing would end a binding that is made after the link is dead. */
	mutex_lock(&link->bind_mutex);
	if (rsl_mbox_dead(link)) {
		mutex_unlock(&link->bind_mutex);
		rsl_mbox_binding_free(binding);
		fput(file);
		return -ENODEV;
	}
	old = rsl_mbox_slot_set(link, vector, direction, binding);
	rsl_mbox_binding_release(old);
	/* We hold the file open, so the last close comes after this. */
	events = vfs_poll(file, &binding->poll);
	if (events & EPOLLIN && direction == RSL_MBOX_KICK) {
		spin_lock_irq(&binding->head->lock);
		rsl_eventfd_consume(binding->ctx);
		spin_unlock_irq(&binding->head->lock);
		rsl_mbox_kick(link, BIT(vector));
	}
	mutex_unlock(&link->bind_mutex);

	fput(file);
	return 0;
}

/**
 * rsl_mbox_eventfd_unbind() - unbind the eventfd of a vector
 * @link: the link
 * @vector: number of the vector, which exists
 * @direction: RSL_MBOX_NOTIFY or RSL_MBOX_KICK
 *
 * Context: process; may sleep.
 * Return: 0; -ENOENT if no eventfd is bound.
 */
int rsl_mbox_eventfd_unbind(struct rsl_mbox *link, unsigned int vector,
			    unsigned int direction)
{
	struct rsl_mbox_binding *old;

	mutex_lock(&link->bind_mutex);
	old = rsl_mbox_slot_set(link, vector, direction, NULL);
	rsl_mbox_binding_release(old);
	mutex_unlock(&link->bind_mutex);
	return old ? 0 : -ENOENT;
}

/**
 * rsl_mbox_eventfd_unbind_all() - unbind all eventfds of a link
 * @link: the link, which is dead
 *
 * Context: process; may sleep.
 */
void rsl_mbox_eventfd_unbind_all(struct rsl_mbox *link)
{
	unsigned int n, direction;

	mutex_lock(&link->bind_mutex);
	for (n = 0; n < link->vectors; n++)
		for (direction = 0; direction < RSL_MBOX_DIRECTIONS; direction++)
			rsl_mbox_binding_release(rsl_mbox_slot_set(link, n, direction,
								   NULL));
	mutex_unlock(&link->bind_mutex);
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
	destroy_workqueue(rsl_mbox_wq);
}
