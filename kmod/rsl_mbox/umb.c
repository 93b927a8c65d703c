// SPDX-License-Identifier: GPL-2.0-only
/*
 * The interface of the original user-mailbox module, for daemons written for it. A
 * link whose node is compatible with "user-mailbox" is /dev/umb. Any other link is
 * /dev/rsl_umbN. docs/reference/abi/dev-umb documents the interface.
 *
 * Such a daemon handles one thing per wake-up. One notification may stand for two
 * things: an acknowledgment and new work. So each notification makes two events here,
 * and notifications are counted and do not coalesce.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "rsl_mbox.h"

#define UMB_EVENTS_PER_NOTIFICATION	2

/* Only one link can have the original name. */
static DEFINE_MUTEX(umb_mutex);
static bool umb_taken;	/* guarded by umb_mutex */

/**
 * struct umb - the misc device of a link
 * @misc: the misc device
 * @link: the link, which outlives the misc device
 */
struct umb {
	struct miscdevice misc;
	struct rsl_mbox *link;
};

/**
 * struct umb_file - one open file
 * @link: the link; the file holds a reference to its device
 * @counted: 1 once the file is counted in the link's open_files
 * @seen: number of events that were read, or that came before the file was opened;
 *	guarded by the link's lock
 */
struct umb_file {
	struct rsl_mbox *link;
	atomic_t counted;
	u64 seen;
};

static u64 umb_events(struct umb_file *file)
{
	lockdep_assert_held(&file->link->lock);
	return atomic64_read(&file->link->seq) * UMB_EVENTS_PER_NOTIFICATION - file->seen;
}

static u64 umb_pending(struct umb_file *file)
{
	unsigned long flags;
	u64 events;

	spin_lock_irqsave(&file->link->lock, flags);
	events = umb_events(file);
	spin_unlock_irqrestore(&file->link->lock, flags);
	return events;
}

/* Take one event. Returns the number of events before that, 0 if there was none. */
static u64 umb_take(struct umb_file *file)
{
	unsigned long flags;
	u64 events;

	spin_lock_irqsave(&file->link->lock, flags);
	events = umb_events(file);
	if (events)
		file->seen++;
	spin_unlock_irqrestore(&file->link->lock, flags);
	return events;
}

static void umb_give_back(struct umb_file *file)
{
	unsigned long flags;

	spin_lock_irqsave(&file->link->lock, flags);
	file->seen--;
	spin_unlock_irqrestore(&file->link->lock, flags);
}

/*
 * A daemon is ready for its remote when it waits for events for the first time. It
 * opens the device long before, to map the memory.
 */
static void umb_count(struct file *filp)
{
	struct umb_file *file = filp->private_data;

	if (rsl_mbox_serves(filp) && !atomic_xchg(&file->counted, 1))
		atomic_inc(&file->link->open_files);
}

static int umb_open(struct inode *inode, struct file *filp)
{
	struct umb *umb = container_of(filp->private_data, struct umb, misc);
	struct umb_file *file;

	if (rsl_mbox_dead(umb->link))
		return -ENODEV;
	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	file->link = umb->link;
	get_device(&file->link->dev);
	file->seen = umb_pending(file);
	filp->private_data = file;
	rsl_mbox_memory_attach(file->link, filp);
	return stream_open(inode, filp);
}

static int umb_release(struct inode *inode, struct file *filp)
{
	struct umb_file *file = filp->private_data;

	if (atomic_read(&file->counted))
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

	umb_count(filp);
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
		/* An event counts as read once it is in the buffer. */
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

/*
 * The file never polls as writable. Daemons select for writing, too, and would run in
 * a busy loop.
 */
static __poll_t umb_poll(struct file *filp, poll_table *wait)
{
	struct umb_file *file = filp->private_data;

	umb_count(filp);
	poll_wait(filp, &file->link->wait, wait);
	if (rsl_mbox_dead(file->link))
		return EPOLLHUP | EPOLLERR;
	return umb_pending(file) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int umb_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct umb_file *file = filp->private_data;

	if (rsl_mbox_dead(file->link))
		return -ENODEV;
	return rsl_mbox_memory_mmap(file->link, vma);
}

static const struct file_operations umb_fops = {
	.owner = THIS_MODULE,
	.open = umb_open,
	.release = umb_release,
	.read = umb_read,
	.write = umb_write,
	.poll = umb_poll,
	.mmap = umb_mmap,
};

static ssize_t notify_store(struct device *dev, struct device_attribute *attr,
			    const char *buf, size_t count)
{
	struct umb *umb = dev_get_drvdata(dev);
	int ret = rsl_mbox_kick(umb->link, rsl_mbox_valid_mask(umb->link));

	return ret ?: count;
}
static DEVICE_ATTR_WO(notify);

static void umb_release_name(void *unused)
{
	mutex_lock(&umb_mutex);
	umb_taken = false;
	mutex_unlock(&umb_mutex);
}

static int umb_claim_name(struct device *parent)
{
	bool taken;

	mutex_lock(&umb_mutex);
	taken = umb_taken;
	umb_taken = true;
	mutex_unlock(&umb_mutex);
	if (taken)
		return dev_err_probe(parent, -EBUSY,
				     "%pOF: compatible: another node is /dev/umb already\n",
				     parent->of_node);
	return devm_add_action_or_reset(parent, umb_release_name, NULL);
}

static void umb_deregister(void *data)
{
	struct umb *umb = data;

	misc_deregister(&umb->misc);
}

static void umb_remove_notify(void *data)
{
	device_remove_file(data, &dev_attr_notify);
}

/**
 * devm_rsl_mbox_umb_register() - give a link the original interface, too
 * @parent: device that the link was made for. If it is compatible with
 *	"user-mailbox", it gets the original name and the attribute "notify".
 * @link: the link; its device is registered
 *
 * Return: 0; -EBUSY if another link has the original name; another negative errno.
 */
int devm_rsl_mbox_umb_register(struct device *parent, struct rsl_mbox *link)
{
	/* A doorbell needs the parent's data for itself. */
	bool original = !dev_get_drvdata(parent) &&
			of_device_is_compatible(parent->of_node, "user-mailbox");
	struct umb *umb;
	int ret;

	umb = devm_kzalloc(parent, sizeof(*umb), GFP_KERNEL);
	if (!umb)
		return -ENOMEM;
	umb->link = link;
	umb->misc.minor = MISC_DYNAMIC_MINOR;
	umb->misc.fops = &umb_fops;
	umb->misc.parent = &link->dev;
	if (original) {
		ret = umb_claim_name(parent);
		if (ret)
			return ret;
		umb->misc.name = "umb";
	} else {
		umb->misc.name = devm_kasprintf(parent, GFP_KERNEL, "rsl_umb%d", link->id);
		if (!umb->misc.name)
			return -ENOMEM;
	}

	ret = misc_register(&umb->misc);
	if (ret)
		return ret;
	ret = devm_add_action_or_reset(parent, umb_deregister, umb);
	if (ret || !original)
		return ret;

	dev_set_drvdata(parent, umb);
	ret = device_create_file(parent, &dev_attr_notify);
	if (ret)
		return ret;
	return devm_add_action_or_reset(parent, umb_remove_notify, parent);
}
