// SPDX-License-Identifier: GPL-2.0-only
/*
 * What rsl_mbox is measured against: a client of the mailbox framework that keeps
 * the last message and leaves everything else to a work item, as simple
 * out-of-tree clients do. A message that comes before the work has run overwrites
 * the one before it, and its reader never hears of that one.
 *
 * Bound by driver_override to a node with a channel "rx" whose messages are the
 * addresses of a u32. A read of /dev/rsl_mbox_deferring waits for a message and
 * returns its word. Files have to be closed before the driver is unbound.
 */
#include <linux/fs.h>
#include <linux/mailbox_client.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct deferring {
	struct mbox_client client;
	struct mbox_chan *chan;
	struct miscdevice misc;
	struct work_struct work;
	wait_queue_head_t wait;
	u32 last;	/* of the callback */
	u32 word;	/* of the work, and of the reader once it is ready */
	bool ready;
};

static void deferring_rx_callback(struct mbox_client *client, void *message)
{
	struct deferring *d = container_of(client, struct deferring, client);

	WRITE_ONCE(d->last, *(u32 *)message);
	schedule_work(&d->work);
}

static void deferring_work(struct work_struct *work)
{
	struct deferring *d = container_of(work, struct deferring, work);

	d->word = READ_ONCE(d->last);
	smp_store_release(&d->ready, true);	/* pairs with that of deferring_read() */
	wake_up_interruptible(&d->wait);
}

static ssize_t deferring_read(struct file *file, char __user *buf, size_t count,
			      loff_t *pos)
{
	struct deferring *d = container_of(file->private_data, struct deferring, misc);
	int ret;

	if (count < sizeof(d->word))
		return -EINVAL;
	if (file->f_flags & O_NONBLOCK && !READ_ONCE(d->ready))
		return -EAGAIN;
	/* Behind this the word is there; pairs with deferring_work(). */
	ret = wait_event_interruptible(d->wait, smp_load_acquire(&d->ready));
	if (ret)
		return ret;
	WRITE_ONCE(d->ready, false);
	return put_user(d->word, (u32 __user *)buf) ?: sizeof(d->word);
}

static const struct file_operations deferring_fops = {
	.owner = THIS_MODULE,
	.read = deferring_read,
};

static void deferring_stop(void *data)
{
	struct deferring *d = data;

	mbox_free_channel(d->chan);
	cancel_work_sync(&d->work);
}

static void deferring_deregister(void *data)
{
	struct deferring *d = data;

	misc_deregister(&d->misc);
}

static int deferring_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	struct deferring *d;
	int ret;

	d = devm_kzalloc(dev, sizeof(*d), GFP_KERNEL);
	if (!d)
		return -ENOMEM;
	INIT_WORK(&d->work, deferring_work);
	init_waitqueue_head(&d->wait);
	d->client.dev = dev;
	d->client.knows_txdone = true;
	d->client.rx_callback = deferring_rx_callback;
	d->chan = mbox_request_channel_byname(&d->client, "rx");
	if (IS_ERR(d->chan))
		return PTR_ERR(d->chan);
	ret = devm_add_action_or_reset(dev, deferring_stop, d);
	if (ret)
		return ret;

	d->misc.minor = MISC_DYNAMIC_MINOR;
	d->misc.name = "rsl_mbox_deferring";
	d->misc.fops = &deferring_fops;
	ret = misc_register(&d->misc);
	if (ret)
		return ret;
	return devm_add_action_or_reset(dev, deferring_deregister, d);
}

static struct platform_driver deferring_driver = {
	.probe = deferring_probe,
	.driver = {
		.name = "rsl_mbox_deferring",
	},
};
module_platform_driver(deferring_driver);

MODULE_DESCRIPTION("A mailbox client that defers, to measure rsl_mbox against");
MODULE_AUTHOR("The rsl_mbox developers");
MODULE_LICENSE("GPL");
