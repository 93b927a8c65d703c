// SPDX-License-Identifier: GPL-2.0-only
/*
 * rsl_mbox: notifications and shared memory between Linux and a second runtime
 * on the same chip, for a process to use.
 *
 * A link is created by a transport's probe and reference-counted by its struct
 * device: an open file keeps it after the transport is gone. Removal sets dead
 * under kick_lock, after which no kick reaches the transport; the transport
 * then frees its interrupts, after which no notification comes.
 */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>
#include <linux/poll.h>
#include <linux/property.h>
#include <linux/slab.h>

#include "rsl_mbox.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#define RSL_MBOX_MINORS		64

static dev_t rsl_mbox_devt;
static DEFINE_IDA(rsl_mbox_ida);

static struct class rsl_mbox_class = {
	.name = "rsl_mbox",
	.dev_groups = rsl_mbox_groups,
};

/**
 * rsl_mbox_kick() - kick vectors of a link
 * @link: the link
 * @mask: the vectors, one bit each; 0 kicks nothing
 *
 * Context: any, interrupts included.
 * Return: 0, -ENODEV when the device is gone, -EINVAL when @mask has a bit for
 * a vector that @link does not have; nothing is kicked on an error.
 */
int rsl_mbox_kick(struct rsl_mbox *link, u32 mask)
{
	unsigned long vectors;
	unsigned long flags;
	unsigned int n;
	u32 coalesced;
	int ret = 0;

	spin_lock_irqsave(&link->kick_lock, flags);
	if (link->dead) {
		ret = -ENODEV;
	} else if (mask & ~rsl_mbox_valid_mask(link)) {
		ret = -EINVAL;
	} else {
		coalesced = link->transport->kick(link, mask);
		trace_rsl_mbox_kick(link->id, mask, coalesced);
		vectors = mask;
		for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS) {
			link->vector[n].kicks++;
			link->vector[n].kicks_coalesced += !!(coalesced & BIT(n));
		}
	}
	spin_unlock_irqrestore(&link->kick_lock, flags);
	return ret;
}

/**
 * rsl_mbox_notify() - take notifications of the remote
 * @link: the link
 * @mask: the vectors that were notified, one bit each, all of which exist; at
 *	least one
 *
 * Called by transports, once for each interrupt.
 *
 * Context: any, interrupts included.
 */
void rsl_mbox_notify(struct rsl_mbox *link, u32 mask)
{
	unsigned long vectors = mask;
	ktime_t now = ktime_get();
	unsigned long flags;
	unsigned int n;
	u64 seq;

	trace_rsl_mbox_notify(link->id, mask);
	spin_lock_irqsave(&link->notify_lock, flags);
	seq = atomic64_read(&link->seq) + 1;
	atomic64_set(&link->seq, seq);
	for_each_set_bit(n, &vectors, RSL_MBOX_MAX_VECTORS) {
		struct rsl_mbox_vector *vector = &link->vector[n];

		vector->notifications++;
		vector->notified_at = now;
		vector->seq = seq;
		rsl_mbox_eventfd_signal(link, n);
	}
	spin_unlock_irqrestore(&link->notify_lock, flags);
	wake_up_interruptible_poll(&link->wait, EPOLLIN | EPOLLRDNORM);
}

/**
 * rsl_mbox_count() - what a vector has seen
 * @link: the link
 * @n: the vector, which exists
 * @stat: all but its vector is filled in
 *
 * Context: process.
 */
void rsl_mbox_count(struct rsl_mbox *link, unsigned int n,
		    struct rsl_mbox_vector_stat *stat)
{
	struct rsl_mbox_vector *vector = &link->vector[n];

	spin_lock_irq(&link->kick_lock);
	stat->kicks = vector->kicks;
	stat->kicks_coalesced = vector->kicks_coalesced;
	spin_unlock_irq(&link->kick_lock);

	spin_lock_irq(&link->notify_lock);
	stat->notifications = vector->notifications;
	stat->last_notification = ktime_to_ns(vector->notified_at);
	spin_unlock_irq(&link->notify_lock);
}

static void rsl_mbox_release(struct device *dev)
{
	struct rsl_mbox *link = to_rsl_mbox(dev);

	rsl_mbox_sysfs_free(link);
	ida_free(&rsl_mbox_ida, link->id);
	kfree(link);
}

static void rsl_mbox_put(void *data)
{
	struct rsl_mbox *link = data;

	put_device(&link->dev);
}

/**
 * devm_rsl_mbox_alloc() - make a link, not yet visible
 * @parent: the device that a transport is bound to; "label" and
 *	"memory-region" are read from its node
 * @transport: how kicks get out
 * @vectors: number of vectors, 1 to RSL_MBOX_MAX_VECTORS
 *
 * rsl_mbox_notify() may be called for the link from now on.
 *
 * Return: the link, or an ERR_PTR of which the log tells the reason.
 */
struct rsl_mbox *devm_rsl_mbox_alloc(struct device *parent,
				     const struct rsl_mbox_transport *transport,
				     unsigned int vectors)
{
	const char *label = parent->of_node->name;
	struct rsl_mbox *link;
	int ret;

	link = kzalloc(sizeof(*link), GFP_KERNEL);
	if (!link)
		return ERR_PTR(-ENOMEM);

	ret = ida_alloc_max(&rsl_mbox_ida, RSL_MBOX_MINORS - 1, GFP_KERNEL);
	if (ret < 0) {
		kfree(link);
		return ERR_PTR(dev_err_probe(parent, ret,
					     "%pOF: no free minor, %d links are the most\n",
					     parent->of_node, RSL_MBOX_MINORS));
	}
	link->id = ret;
	link->transport = transport;
	link->vectors = vectors;
	spin_lock_init(&link->kick_lock);
	spin_lock_init(&link->notify_lock);
	init_waitqueue_head(&link->wait);
	mutex_init(&link->bind_mutex);

	device_initialize(&link->dev);
	link->dev.class = &rsl_mbox_class;
	link->dev.parent = parent;
	link->dev.devt = MKDEV(MAJOR(rsl_mbox_devt), link->id);
	link->dev.groups = link->groups;
	link->dev.release = rsl_mbox_release;

	/* From here on the device's reference count owns the link. */
	ret = devm_add_action_or_reset(parent, rsl_mbox_put, link);
	if (ret)
		return ERR_PTR(ret);

	ret = dev_set_name(&link->dev, "rsl_mbox%d", link->id);
	if (ret)
		return ERR_PTR(ret);

	of_property_read_string(parent->of_node, "label", &label);
	if (strscpy(link->label, label, sizeof(link->label)) <= 0)
		return ERR_PTR(dev_err_probe(parent, -EINVAL,
					     "%pOF: label: has to have 1 to %zu characters\n",
					     parent->of_node, sizeof(link->label) - 1));

	ret = rsl_mbox_memory_init(link);
	if (ret)
		return ERR_PTR(ret);

	ret = rsl_mbox_sysfs_init(link);
	if (ret)
		return ERR_PTR(ret);

	return link;
}

static void rsl_mbox_kill(struct rsl_mbox *link)
{
	unsigned long flags;

	spin_lock_irqsave(&link->kick_lock, flags);
	WRITE_ONCE(link->dead, true);
	spin_unlock_irqrestore(&link->kick_lock, flags);

	wake_up_poll(&link->wait, EPOLLHUP | EPOLLERR);
	rsl_mbox_eventfd_unbind_all(link);
}

static void rsl_mbox_unregister(void *data)
{
	struct rsl_mbox *link = data;

	cdev_device_del(&link->cdev, &link->dev);
	rsl_mbox_kill(link);
}

/**
 * devm_rsl_mbox_register() - show a link to user space
 * @parent: the device that the link was made for
 * @link: the link
 *
 * To be called when everything that a kick needs is there: what the transport
 * got by devm functions before this call is freed after the link is dead.
 *
 * Return: 0 or a negative errno.
 */
int devm_rsl_mbox_register(struct device *parent, struct rsl_mbox *link)
{
	int ret;

	cdev_init(&link->cdev, &rsl_mbox_fops);
	link->cdev.owner = THIS_MODULE;
	ret = cdev_device_add(&link->cdev, &link->dev);
	if (ret) {
		/* A node made by hand may have been opened in between. */
		rsl_mbox_kill(link);
		return ret;
	}
	ret = devm_add_action_or_reset(parent, rsl_mbox_unregister, link);
	if (ret)
		return ret;
	return devm_rsl_mbox_umb_register(parent, link);
}

static int __init rsl_mbox_init(void)
{
	int ret;

	ret = alloc_chrdev_region(&rsl_mbox_devt, 0, RSL_MBOX_MINORS, "rsl_mbox");
	if (ret)
		return ret;
	ret = class_register(&rsl_mbox_class);
	if (ret)
		goto err_unregister_chrdev;
	ret = rsl_mbox_eventfd_init();
	if (ret)
		goto err_unregister_class;
	ret = platform_driver_register(&rsl_mbox_doorbell_driver);
	if (ret)
		goto err_eventfd_exit;
	ret = platform_driver_register(&rsl_mbox_mailbox_driver);
	if (ret)
		goto err_unregister_doorbell;
	return 0;

err_unregister_doorbell:
	platform_driver_unregister(&rsl_mbox_doorbell_driver);
err_eventfd_exit:
	rsl_mbox_eventfd_exit();
err_unregister_class:
	class_unregister(&rsl_mbox_class);
err_unregister_chrdev:
	unregister_chrdev_region(rsl_mbox_devt, RSL_MBOX_MINORS);
	return ret;
}

static void __exit rsl_mbox_exit(void)
{
	platform_driver_unregister(&rsl_mbox_mailbox_driver);
	platform_driver_unregister(&rsl_mbox_doorbell_driver);
	rsl_mbox_eventfd_exit();
	class_unregister(&rsl_mbox_class);
	unregister_chrdev_region(rsl_mbox_devt, RSL_MBOX_MINORS);
}

module_init(rsl_mbox_init);
module_exit(rsl_mbox_exit);

MODULE_DESCRIPTION("Shared memory and notifications between Linux and a second runtime");
MODULE_AUTHOR("The rsl_mbox developers");
MODULE_LICENSE("GPL");
