// SPDX-License-Identifier: GPL-2.0-only
/* The character device /dev/rsl_mboxN. uapi/linux/rsl_mbox.h documents it. */
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "rsl_mbox.h"

/**
 * struct rsl_mbox_file - one open file
 * @link: the link; the file holds a reference to its device
 * @read_lock: guards changes of @seen, so that two reads of this file do not return
 *	the same notification
 * @seen: value of the link's seq at the last read. poll() and waiting readers read it
 *	without a lock.
 * @masks: what the file masks
 */
struct rsl_mbox_file {
	struct rsl_mbox *link;
	struct mutex read_lock;	/* guards changes of seen */
	atomic64_t seen;
	struct rsl_mbox_masks masks;
};

/* True if a notification came since the last read. Every wake-up checks this. */
static bool rsl_mbox_file_behind(struct rsl_mbox_file *file)
{
	return atomic64_read(&file->link->seq) != atomic64_read(&file->seen);
}

/* Return the vectors notified since the last read, and the link's seq in @seq. */
static u32 rsl_mbox_file_pending(struct rsl_mbox_file *file, u64 *seq)
{
	struct rsl_mbox *link = file->link;
	unsigned int n;
	u32 mask = 0;
	u64 seen;

	lockdep_assert_held(&file->read_lock);
	seen = atomic64_read(&file->seen);
	spin_lock_irq(&link->lock);
	*seq = atomic64_read(&link->seq);
	for (n = 0; n < link->vectors; n++)
		if (link->vector[n].seq > seen)
			mask |= BIT(n);
	spin_unlock_irq(&link->lock);
	return mask;
}

/*
 * Give the reader the vectors notified since the last read. Returns 0 if there are none,
 * and -EAGAIN if the reader must not wait for another read of this file, which may wait
 * for its page.
 */
static ssize_t rsl_mbox_file_take(struct rsl_mbox_file *file, u32 __user *buf, bool wait)
{
	ssize_t ret;
	u32 mask;
	u64 seq;

	if (wait) {
		if (mutex_lock_interruptible(&file->read_lock))
			return -ERESTARTSYS;
	} else if (!mutex_trylock(&file->read_lock)) {
		return -EAGAIN;
	}
	mask = rsl_mbox_file_pending(file, &seq);
	if (mask) {
		/* A notification counts as read once it is in the buffer. */
		ret = put_user(mask, buf);
		if (!ret) {
			atomic64_set(&file->seen, seq);
			ret = sizeof(mask);
		}
	}
	mutex_unlock(&file->read_lock);
	/* Who reads looks at the memory after this, so a notification is not missed. */
	if (mask && ret > 0)
		rsl_mbox_rearm(file->link, mask & READ_ONCE(file->masks.oneshot));
	return ret;
}

static int rsl_mbox_open(struct inode *inode, struct file *filp)
{
	struct rsl_mbox *link = container_of(inode->i_cdev, struct rsl_mbox, cdev);
	struct rsl_mbox_file *file;

	if (rsl_mbox_dead(link))
		return -ENODEV;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return -ENOMEM;
	get_device(&link->dev);
	if (rsl_mbox_serves(filp))
		atomic_inc(&link->open_files);
	file->link = link;
	mutex_init(&file->read_lock);
	atomic64_set(&file->seen, atomic64_read(&link->seq));
	filp->private_data = file;
	rsl_mbox_memory_attach(link, filp);
	return stream_open(inode, filp);
}

static int rsl_mbox_release(struct inode *inode, struct file *filp)
{
	struct rsl_mbox_file *file = filp->private_data;

	if (file->masks.oneshot)
		rsl_mbox_mask(file->link, &file->masks, file->masks.oneshot,
			      RSL_MBOX_CONTINUOUS);
	if (file->masks.masked)
		rsl_mbox_mask(file->link, &file->masks, file->masks.masked,
			      RSL_MBOX_UNMASK);
	if (rsl_mbox_serves(filp))
		atomic_dec(&file->link->open_files);
	put_device(&file->link->dev);
	kfree(file);
	return 0;
}

static ssize_t rsl_mbox_read(struct file *filp, char __user *buf, size_t count,
			     loff_t *ppos)
{
	struct rsl_mbox_file *file = filp->private_data;
	bool wait = !(filp->f_flags & O_NONBLOCK);
	struct rsl_mbox *link = file->link;
	ssize_t ret;

	if (rsl_mbox_dead(link))
		return -ENODEV;
	if (count < sizeof(u32))
		return -EINVAL;

	for (;;) {
		if (rsl_mbox_file_behind(file)) {
			/* Another read of this file may have taken it first. */
			ret = rsl_mbox_file_take(file, (u32 __user *)buf, wait);
			if (ret)
				return ret;
		}
		if (!wait)
			return -EAGAIN;
		ret = wait_event_interruptible(link->wait,
					       rsl_mbox_file_behind(file) ||
					       rsl_mbox_dead(link));
		if (ret)
			return ret;
		if (rsl_mbox_dead(link))
			return -ENODEV;
	}
}

static ssize_t rsl_mbox_write(struct file *filp, const char __user *buf,
			      size_t count, loff_t *ppos)
{
	struct rsl_mbox_file *file = filp->private_data;
	u32 mask;
	int ret;

	if (rsl_mbox_dead(file->link))
		return -ENODEV;
	if (count != sizeof(mask))
		return -EINVAL;
	if (get_user(mask, (const u32 __user *)buf))
		return -EFAULT;
	ret = rsl_mbox_kick(file->link, mask);
	return ret ?: sizeof(mask);
}

static __poll_t rsl_mbox_poll(struct file *filp, poll_table *wait)
{
	struct rsl_mbox_file *file = filp->private_data;
	struct rsl_mbox *link = file->link;
	__poll_t events = 0;

	poll_wait(filp, &link->wait, wait);
	if (rsl_mbox_dead(link))
		return EPOLLHUP | EPOLLERR;
	if (rsl_mbox_file_behind(file))
		events |= EPOLLIN | EPOLLRDNORM;
	if (filp->f_mode & FMODE_WRITE)
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}

static int rsl_mbox_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct rsl_mbox_file *file = filp->private_data;

	if (rsl_mbox_dead(file->link))
		return -ENODEV;
	return rsl_mbox_memory_mmap(file->link, vma);
}

static long rsl_mbox_ioctl_info(struct rsl_mbox *link, void __user *arg)
{
	struct rsl_mbox_info info = {
		.vectors = link->vectors,
		.bindings = RSL_MBOX_MAX_BINDINGS,
		.memory_base = link->memory_base,
		.memory_size = link->memory_size,
	};

	if (link->memory_size)
		info.features |= RSL_MBOX_FEATURE_MEMORY;
	if (link->memory_cached)
		info.features |= RSL_MBOX_FEATURE_CACHED;
	if (link->mask_irqs)
		info.features |= RSL_MBOX_FEATURE_MASK_IRQ;
	rsl_mbox_label(link, info.label);
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static long rsl_mbox_ioctl_stat(struct rsl_mbox *link, void __user *arg)
{
	struct rsl_mbox_vector_stat stat, in;

	if (copy_from_user(&in, arg, sizeof(in)))
		return -EFAULT;
	if (in.flags || in.vector >= link->vectors)
		return -EINVAL;
	memset(&stat, 0, sizeof(stat));
	stat.vector = in.vector;
	rsl_mbox_count(link, in.vector, &stat);
	return copy_to_user(arg, &stat, sizeof(stat)) ? -EFAULT : 0;
}

static long rsl_mbox_ioctl_bind(struct file *filp, void __user *arg)
{
	struct rsl_mbox_file *file = filp->private_data;
	struct rsl_mbox_binding_spec spec;

	if (copy_from_user(&spec, arg, sizeof(spec)))
		return -EFAULT;
	if (spec.flags & ~(__u32)RSL_MBOX_BIND_DEASSIGN ||
	    spec.vector >= file->link->vectors || spec.direction >= RSL_MBOX_DIRECTIONS)
		return -EINVAL;
	/* A file for looking or for kicking only must not take part. */
	if (!rsl_mbox_serves(filp))
		return -EBADF;
	if (spec.flags & RSL_MBOX_BIND_DEASSIGN)
		return rsl_mbox_eventfd_unbind(file->link, spec.vector, spec.direction,
					       spec.fd);
	return rsl_mbox_eventfd_bind(file->link, spec.vector, spec.direction, spec.fd);
}

static long rsl_mbox_ioctl_mask(struct file *filp, void __user *arg)
{
	struct rsl_mbox_file *file = filp->private_data;
	struct rsl_mbox_mask mask;

	if (copy_from_user(&mask, arg, sizeof(mask)))
		return -EFAULT;
	if (mask.reserved || mask.action > RSL_MBOX_CONTINUOUS ||
	    mask.vectors & ~rsl_mbox_valid_mask(file->link))
		return -EINVAL;
	if (!rsl_mbox_serves(filp))
		return -EBADF;
	rsl_mbox_mask(file->link, &file->masks, mask.vectors, mask.action);
	return 0;
}

static long rsl_mbox_ioctl_memory(struct file *filp, void __user *arg)
{
	struct rsl_mbox_file *file = filp->private_data;
	struct rsl_mbox_memory window;

	if (copy_from_user(&window, arg, sizeof(window)))
		return -EFAULT;
	if (window.flags & ~(__u32)RSL_MBOX_MEMORY_RDONLY || window.padding ||
	    window.reserved)
		return -EINVAL;
	/* What mmap() of this file allows, and no more. */
	if (!(filp->f_mode & FMODE_READ) ||
	    !(filp->f_mode & FMODE_WRITE || window.flags & RSL_MBOX_MEMORY_RDONLY))
		return -EACCES;
	return rsl_mbox_memory_open(file->link, &window);
}

static long rsl_mbox_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct rsl_mbox_file *file = filp->private_data;

	if (rsl_mbox_dead(file->link))
		return -ENODEV;
	switch (cmd) {
	case RSL_MBOX_IOC_INFO:
		return rsl_mbox_ioctl_info(file->link, (void __user *)arg);
	case RSL_MBOX_IOC_STAT:
		return rsl_mbox_ioctl_stat(file->link, (void __user *)arg);
	case RSL_MBOX_IOC_BIND:
		return rsl_mbox_ioctl_bind(filp, (void __user *)arg);
	case RSL_MBOX_IOC_MASK:
		return rsl_mbox_ioctl_mask(filp, (void __user *)arg);
	case RSL_MBOX_IOC_MEMORY:
		return rsl_mbox_ioctl_memory(filp, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

const struct file_operations rsl_mbox_fops = {
	.owner = THIS_MODULE,
	.open = rsl_mbox_open,
	.release = rsl_mbox_release,
	.read = rsl_mbox_read,
	.write = rsl_mbox_write,
	.poll = rsl_mbox_poll,
	.mmap = rsl_mbox_mmap,
	.unlocked_ioctl = rsl_mbox_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
