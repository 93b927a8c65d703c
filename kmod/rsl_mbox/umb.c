// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/umb: the device of the original user-mailbox module, for daemons that know
 * no other. See docs/abi/dev-umb for what it promises.
 *
 * Such a daemon handles one thing per wake-up, so here notifications are counted
 * and not coalesced, and each makes two events to be read: one that stood for both
 * an acknowledgment and new work would leave the work undone.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "rsl_mbox.h"

#define UMB_EVENTS_PER_NOTIFICATION	2

/* The name is there once only. */
static DEFINE_MUTEX(umb_mutex);
static bool umb_taken;	/* guarded by umb_mutex */

/**
 * struct umb - the device node of a link
 * @misc: the node
 * @link: the link; outlives the node
 */
struct umb {
	struct miscdevice misc;
	struct rsl_mbox *link;
};

/**
 * struct umb_file - one open file
 * @link: the link, referenced
 * @seen: events that were read, or came before opening; guarded by the link's
 *	notify_lock
 */
struct umb_file {
	struct rsl_mbox *link;
	u64 seen;
};

static u64 umb_events(struct umb_file *file)
{
	lockdep_assert_held(&file->link->notify_lock);
	return file->link->seq * UMB_EVENTS_PER_NOTIFICATION - file->seen;
}

static u64 umb_pending(struct umb_file *file)
{
	unsigned long flags;
	u64 events;

	spin_lock_irqsave(&file->link->notify_lock, flags);
	events = umb_events(file);
	spin_unlock_irqrestore(&file->link->notify_lock, flags);
	return events;
}

/* Take one event; returns how many there were. */
static u64 umb_take(struct umb_file *file)
{
	unsigned long flags;
	u64 events;

	spin_lock_irqsave(&file->link->notify_lock, flags);
	events = umb_events(file);
	if (events)
		file->seen++;
	spin_unlock_irqrestore(&file->link->notify_lock, flags);
	return events;
}

static void umb_give_back(struct umb_file *file)
{
	unsigned long flags;

	spin_lock_irqsave(&file->link->notify_lock, flags);
	file->seen--;
	spin_unlock_irqrestore(&file->link->notify_lock, flags);
}

static int umb_open(struct inode *inode, struct file *filp)
{
	struct umb *umb = container_of(filp->private_data, struct umb, misc);
	struct umb_file *file;

	if (rsl_mbox_dead(umb->link))
		return -ENODEV;
	file = kzalloc(sizeof(*file), GFP_KERNEL);
	if (!file)
		return -ENOMEM;
	file->link = umb->link;
	get_device(&file->link->dev);
	atomic_inc(&file->link->open_files);
	file->seen = umb_pending(file);
	filp->private_data = file;
	return stream_open(inode, filp);
}

static int umb_release(struct inode *inode, struct file *filp)
{
	struct umb_file *file = filp->private_data;

	atomic_dec(&file->link->open_files);
	put_device(&file->link->dev);
	kfree(file);
	return 0;
}

static ssize_t umb_read(struct file *filp, char __user *buf, size_t count, loff_t *ppos)
{
	struct umb_file *file = filp->private_data;
	struct rsl_mbox *link = file->link;
	char text[24];
	u64 events;
	int ret;

	if (rsl_mbox_dead(link))
		return -ENODEV;
	if (!count)
		return 0;
	while (!(events = umb_take(file))) {
		if (filp->f_flags & O_NONBLOCK)
			return -EAGAIN;
		ret = wait_event_interruptible(link->wait, umb_pending(file) ||
					       rsl_mbox_dead(link));
		if (ret)
			return ret;
		if (rsl_mbox_dead(link))
			return -ENODEV;
	}
	count = min_t(size_t, count, scnprintf(text, sizeof(text), "%llu\n", events));
	if (copy_to_user(buf, text, count)) {
		/* Only what has arrived in the buffer counts as read. */
		umb_give_back(file);
		return -EFAULT;
	}
	return count;
}

static ssize_t umb_write(struct file *filp, const char __user *buf, size_t count,
			 loff_t *ppos)
{
	struct umb_file *file = filp->private_data;
	int ret = rsl_mbox_kick(file->link, rsl_mbox_valid_mask(file->link));

	return ret ?: count;
}

/* Never writable: the daemon selects for writing, too, and would spin. */
static __poll_t umb_poll(struct file *filp, poll_table *wait)
{
	struct umb_file *file = filp->private_data;

	poll_wait(filp, &file->link->wait, wait);
	if (rsl_mbox_dead(file->link))
		return EPOLLHUP | EPOLLERR;
	return umb_pending(file) ? EPOLLIN | EPOLLRDNORM : 0;
}

static const struct file_operations umb_fops = {
	.owner = THIS_MODULE,
	.open = umb_open,
	.release = umb_release,
	.read = umb_read,
	.write = umb_write,
	.poll = umb_poll,
};

static ssize_t notify_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	struct umb *umb = dev_get_drvdata(dev);
	int ret = rsl_mbox_kick(umb->link, rsl_mbox_valid_mask(umb->link));

	return ret ?: count;
}
static DEVICE_ATTR_WO(notify);

static void umb_unregister(void *data)
{
	struct umb *umb = data;

	device_remove_file(umb->link->dev.parent, &dev_attr_notify);
	misc_deregister(&umb->misc);
	mutex_lock(&umb_mutex);
	umb_taken = false;
	mutex_unlock(&umb_mutex);
}

/**
 * devm_rsl_mbox_umb_register() - show a link as /dev/umb, too
 * @parent: the device that the link was made for; gets the attribute "notify"
 * @link: the link, registered
 *
 * Return: 0, -EBUSY where another link has the name, or another negative errno.
 */
int devm_rsl_mbox_umb_register(struct device *parent, struct rsl_mbox *link)
{
	struct umb *umb;
	int ret;

	umb = devm_kzalloc(parent, sizeof(*umb), GFP_KERNEL);
	if (!umb)
		return -ENOMEM;
	umb->link = link;
	umb->misc.minor = MISC_DYNAMIC_MINOR;
	umb->misc.name = "umb";
	umb->misc.fops = &umb_fops;
	umb->misc.parent = parent;
	dev_set_drvdata(parent, umb);

	mutex_lock(&umb_mutex);
	ret = umb_taken ? -EBUSY : 0;
	umb_taken = true;
	mutex_unlock(&umb_mutex);
	if (ret)
		return dev_err_probe(parent, ret,
				     "%pOF: compatible: another node is /dev/umb already\n",
				     parent->of_node);
	ret = misc_register(&umb->misc);
	if (ret)
		goto err_release_name;
	ret = device_create_file(parent, &dev_attr_notify);
	if (ret)
		goto err_deregister;
	return devm_add_action_or_reset(parent, umb_unregister, umb);

err_deregister:
	misc_deregister(&umb->misc);
err_release_name:
	mutex_lock(&umb_mutex);
	umb_taken = false;
	mutex_unlock(&umb_mutex);
	return ret;
}
