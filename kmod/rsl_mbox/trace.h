/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints rsl_mbox:rsl_mbox_kick and rsl_mbox:rsl_mbox_notify. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM rsl_mbox

#if !defined(_RSL_MBOX_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _RSL_MBOX_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(rsl_mbox_kick,
	TP_PROTO(int link, u32 mask, u32 coalesced),
	TP_ARGS(link, mask, coalesced),
	TP_STRUCT__entry(
		__field(int, link)
		__field(u32, mask)
		__field(u32, coalesced)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->mask = mask;
		__entry->coalesced = coalesced;
	),
	TP_printk("rsl_mbox%d mask=%#x coalesced=%#x", __entry->link, __entry->mask,
		  __entry->coalesced)
);

TRACE_EVENT(rsl_mbox_notify,
	TP_PROTO(int link, u32 mask),
	TP_ARGS(link, mask),
	TP_STRUCT__entry(
		__field(int, link)
		__field(u32, mask)
	),
	TP_fast_assign(
		__entry->link = link;
		__entry->mask = mask;
	),
	TP_printk("rsl_mbox%d mask=%#x", __entry->link, __entry->mask)
);

#endif /* _RSL_MBOX_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
