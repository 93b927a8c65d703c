/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What virtio.c does with its devices. It is a part of that, and included there alone.
 *
 * Ports of vsock:
 *	7	what comes goes back
 *	9	a number n of 8 bytes and n bytes of the pattern come; two numbers of 8 bytes go
 *		back: n, and how many of them were right
 *	19	a number n of 8 bytes comes; n bytes of the pattern go back
 *	20	the port of a listener, of 4 bytes, comes; a connection to it is made that says
 *		hello and then is as one of port 7
 *	21	commands: struct request and its data come, struct answer and its data go back
 *	2159	a debugger, with one connection at a time: gdb.h
 * Numbers are little endian; n can come any number of times.
 */

enum { ECHO, DISCARD, SOURCE, BACK, COMMAND, DEBUG, PORTS };

static const uint32_t ports[PORTS] = { 7, 9, 19, 20, 21, 2159 };

/* The pattern's period is a prime number: see tests/guest/virtio.py. */
#define PERIOD			65521

#define CONNECTIONS		80
#define CREDIT			16384
#define PIECE			2048

enum { COMMAND_READ = 1, COMMAND_WRITE, COMMAND_CAPACITY, COMMAND_RANDOM, COMMAND_LIST,
       COMMAND_CAT };

/* Of Linux, for answers. */
enum { E_IO = 5, E_AGAIN = 11, E_NODEV = 19, E_INVAL = 22, E_FBIG = 27, E_TIMEDOUT = 110 };

struct request {
	uint32_t command;
	uint32_t first;
	uint32_t second;
	uint32_t size;		/* of the data that follows */
};

struct answer {
	int32_t status;		/* 0 or an errno */
	uint32_t size;
};

#define REQUEST_DATA		4096
#define ANSWER_DATA		65536

struct stream {
	struct rsl_vsock_conn *conn;
	unsigned int kind;
	bool connecting;
	uint8_t head[sizeof(struct request)];	/* the numbers that begin something */
	uint32_t headed;	/* bytes of them that are there */
	uint64_t total;		/* of DISCARD and SOURCE: n, bytes so far, right ones */
	uint64_t done;
	uint64_t right;
	uint32_t phase;		/* in the pattern */
	uint8_t out[PIECE];	/* what is to be sent */
	uint32_t out_size;
	uint32_t out_at;
};

static struct rsl_vsock_conn table[CONNECTIONS];
static uint8_t credit[CONNECTIONS][CREDIT];
static struct rsl_vsock_conn *listeners[PORTS];
static struct stream streams[CONNECTIONS];

static struct gdb debugger;

_Static_assert(GDB_ANSWER <= PIECE, "an answer is sent as one");

/* The one command at a time, and whose it is. */
static struct {
	struct stream *stream;
	struct request request;
	uint32_t got;		/* bytes of the request's data */
	uint8_t data[REQUEST_DATA];
	struct answer answer;
	uint8_t reply[ANSWER_DATA];
	uint32_t sent;		/* bytes of the answer and its data */
	bool complete;		/* the request */
	bool answered;
} command;

static int begin_vsock(struct rsl_virtio *device)
{
	unsigned int n;
	int result;

	for (n = 0; n < CONNECTIONS; n++)
		streams[n].conn = NULL;
	command.stream = NULL;
	result = rsl_vsock_begin(&vsock, device, table, CONNECTIONS, credit, CREDIT);
	for (n = 0; !result && n < PORTS; n++) {
		listeners[n] = rsl_vsock_listen(&vsock, ports[n]);
		if (!listeners[n])
			result = RSL_FULL;
	}
	return result;
}

/* A stream of a connection; there are as many as connections. */
static struct stream *open_stream(struct rsl_vsock_conn *conn, unsigned int kind)
{
	struct stream *stream = streams;

	while (stream->conn)
		stream++;
	stream->conn = conn;
	stream->kind = kind;
	stream->connecting = false;
	stream->headed = 0;
	stream->total = 0;
	stream->done = 0;
	stream->out_size = 0;
	stream->out_at = 0;
	if (kind == DEBUG)
		memset(&debugger, 0, sizeof(debugger));
	return stream;
}

static void close_stream(struct stream *stream)
{
	rsl_vsock_close(stream->conn);
	stream->conn = NULL;
	/* One that is executed ends by itself. */
	if (command.stream == stream)
		command.stream = NULL;
}

static uint64_t number_at(const uint8_t *bytes, unsigned int size)
{
	uint64_t number = 0;

	while (size--)
		number = number << 8 | bytes[size];
	return number;
}

static void put_number(uint8_t *bytes, uint64_t number, unsigned int size)
{
	unsigned int n;

	for (n = 0; n < size; n++)
		bytes[n] = number >> 8 * n;
}

static uint8_t pattern(uint32_t at)
{
	return at * 31 + (at >> 8) * 17 + 7;
}

static void advance(struct stream *stream)
{
	stream->done++;
	stream->phase = stream->phase + 1 == PERIOD ? 0 : stream->phase + 1;
}

/* Receive the @size bytes that begin something; whether they are there. */
static int take_head(struct stream *stream, uint32_t size)
{
	int got = rsl_vsock_receive(stream->conn, stream->head + stream->headed,
				    size - stream->headed);

	if (got > 0)
		stream->headed += got;
	return got;
}

static void connect_back(uint32_t port)
{
	static const char hello[] = "hello\n";
	struct rsl_vsock_conn *conn = rsl_vsock_connect(&vsock, RSL_VSOCK_HOST, port);
	struct stream *stream;

	if (!conn)
		return;
	stream = open_stream(conn, ECHO);
	stream->connecting = true;
	stream->out_size = sizeof(hello) - 1;
	memcpy(stream->out, hello, stream->out_size);
}

static int take_pattern(struct stream *stream)
{
	uint64_t left = stream->total - stream->done;
	uint8_t data[PIECE];
	int n, got;

	got = rsl_vsock_receive(stream->conn, data, left < PIECE ? left : PIECE);
	for (n = 0; n < got; n++) {
		stream->right += data[n] == pattern(stream->phase);
		advance(stream);
	}
	if (got > 0 && stream->done == stream->total) {
		put_number(stream->out, stream->total, 8);
		put_number(stream->out + 8, stream->right, 8);
		stream->out_size = 16;
	}
	return got;
}

static void put_pattern(struct stream *stream)
{
	while (stream->out_size < PIECE && stream->done < stream->total) {
		stream->out[stream->out_size++] = pattern(stream->phase);
		advance(stream);
	}
}

static bool is_memory(uint64_t address, uint64_t size)
{
	return address >= RSL_RPU0_MEMORY_BASE && size <= RSL_RPU0_MEMORY_SIZE &&
	       address - RSL_RPU0_MEMORY_BASE <= RSL_RPU0_MEMORY_SIZE - size;
}

static int take_debug(struct stream *stream)
{
	uint8_t byte;
	int got = rsl_vsock_receive(stream->conn, &byte, 1);

	if (got > 0)
		stream->out_size = gdb_take(&debugger, byte, (char *)stream->out, is_memory);
	return got;
}

/* Receive what a stream of each kind wants next; as rsl_vsock_receive(). */
static int take(struct stream *stream)
{
	int got;

	if (stream->kind == DEBUG)
		return take_debug(stream);
	if (stream->kind == ECHO) {
		got = rsl_vsock_receive(stream->conn, stream->out, PIECE);
		stream->out_size = got > 0 ? got : 0;
		return got;
	}
	if (stream->kind == BACK) {
		got = take_head(stream, 4);
		if (stream->headed == 4) {
			stream->headed = 0;
			connect_back(number_at(stream->head, 4));
		}
		return got;
	}
	if (stream->kind == DISCARD && stream->done < stream->total)
		return take_pattern(stream);
	got = take_head(stream, 8);
	if (stream->headed == 8) {
		stream->headed = 0;
		stream->total = number_at(stream->head, 8);
		stream->done = 0;
		stream->right = 0;
		stream->phase = 0;
	}
	return got;
}

static bool may_still_come(int result)
{
	return result >= 0 || result == RSL_AGAIN;
}

/* One step of a stream that is not of commands; whether there was anything to do. */
static bool step(struct stream *stream)
{
	int result;

	if (stream->connecting) {
		result = rsl_vsock_connected(stream->conn);
		if (!may_still_come(result))
			close_stream(stream);
		stream->connecting = result != 0;
		return result != RSL_AGAIN;
	}
	if (stream->kind == SOURCE && stream->out_at == stream->out_size) {
		stream->out_size = 0;
		stream->out_at = 0;
		put_pattern(stream);
	}
	if (stream->out_at < stream->out_size) {
		result = rsl_vsock_send(stream->conn, stream->out + stream->out_at,
					stream->out_size - stream->out_at);
		if (result > 0)
			stream->out_at += result;
	} else {
		stream->out_size = 0;
		stream->out_at = 0;
		result = take(stream);
	}
	if (!may_still_come(result))
		close_stream(stream);
	return result != RSL_AGAIN;
}

/* The same for commands, but that the command is for serve_command() to execute. */
static bool step_command(struct stream *stream)
{
	int result = RSL_AGAIN;

	if (command.stream != stream) {
		if (command.stream)
			return false;
		result = take_head(stream, sizeof(command.request));
		if (stream->headed == sizeof(command.request)) {
			stream->headed = 0;
			memcpy(&command.request, stream->head, sizeof(command.request));
			command.stream = stream;
			command.got = 0;
			command.answered = false;
			command.complete = !command.request.size;
			command.sent = 0;
			if (command.request.size > REQUEST_DATA)
				result = RSL_CLOSED;
		}
	} else if (!command.complete) {
		result = rsl_vsock_receive(stream->conn, command.data + command.got,
					   command.request.size - command.got);
		if (result > 0)
			command.got += result;
		command.complete = command.got == command.request.size;
	} else if (command.answered) {
		uint32_t head = sizeof(command.answer);

		if (command.sent < head)
			result = rsl_vsock_send(stream->conn,
						(uint8_t *)&command.answer + command.sent,
						head - command.sent);
		else
			result = rsl_vsock_send(stream->conn,
						command.reply + command.sent - head,
						command.answer.size - (command.sent - head));
		if (result > 0)
			command.sent += result;
		if (command.sent == head + command.answer.size)
			command.stream = NULL;
	}
	if (!may_still_come(result))
		close_stream(stream);
	return result != RSL_AGAIN;
}

static bool serve_vsock(void)
{
	struct rsl_vsock_conn *conn;
	bool busy = false;
	unsigned int n;

	if (rsl_vsock_poll(&vsock))
		return false;
	for (n = 0; n < PORTS; n++)
		while ((conn = rsl_vsock_accept(listeners[n]))) {
			open_stream(conn, n);
			busy = true;
		}
	for (n = 0; n < CONNECTIONS; n++) {
		if (!streams[n].conn)
			continue;
		if (streams[n].kind == COMMAND)
			busy |= step_command(&streams[n]);
		else
			busy |= step(&streams[n]);
	}
	return busy;
}

/* ---- Commands ---- */

static int error_of(int result)
{
	switch (result) {
	case RSL_AGAIN:
		return E_AGAIN;
	case RSL_LOST:
		return E_NODEV;
	case RSL_SILENT:
		return E_TIMEDOUT;
	case RSL_INVALID:
		return E_INVAL;
	default:
		return result < 0 ? E_IO : 0;
	}
}

static int on_disk(const struct request *request)
{
	uint32_t size = request->second * RSL_BLK_SECTOR;
	int result;

	/* What was not awaited. */
	if (blk.busy) {
		result = rsl_blk_finish(&blk, NULL);
		if (result == RSL_AGAIN || result == RSL_LOST)
			return error_of(result);
	}
	if (request->command == COMMAND_CAPACITY) {
		put_number(command.reply, blk.capacity, 8);
		command.answer.size = 8;
		return 0;
	}
	if (request->second > REQUEST_DATA / RSL_BLK_SECTOR)
		return E_INVAL;
	if (request->command == COMMAND_WRITE)
		return size == request->size ? error_of(rsl_blk_write(&blk, request->first,
								      command.data,
								      request->second))
					     : E_INVAL;
	result = rsl_blk_read(&blk, request->first, command.reply, request->second);
	command.answer.size = result ? 0 : size;
	return error_of(result);
}

static int random_bytes(const struct request *request)
{
	uint32_t size = 0;
	int result;

	if (request->first > REQUEST_DATA)
		return E_INVAL;
	while (size < request->first) {
		result = rsl_rng_read(&rng, command.reply + size, request->first - size);
		if (result > 0)
			size += result;
		else if (result != RSL_AGAIN)
			return error_of(result);
		else if (!rsl_remote_wait(&remote, RSL_REMOTE_WAIT_MS))
			return E_TIMEDOUT;
	}
	command.answer.size = size;
	return 0;
}

static int error_of_files(int result)
{
	return result == RSL_REFUSED ? (int)fs.error : error_of(result);
}

/* The names in the root, each with a newline. */
static int list(void)
{
	static uint8_t entries[1024];
	uint64_t handle, offset = 0;
	uint32_t size = 0;
	char name[256];
	int got, at, next;

	got = rsl_fs_open(&fs, RSL_FS_ROOT, true, &handle);
	if (got)
		return error_of_files(got);
	while ((got = rsl_fs_readdir(&fs, RSL_FS_ROOT, handle, offset, entries,
				     sizeof(entries))) > 0) {
		uint64_t before = offset;

		for (at = 0; (next = rsl_fs_entry(entries, got, at, name, sizeof(name),
						  &offset)) > 0; at = next) {
			const char *from = name;

			if (size + sizeof(name) > ANSWER_DATA)
				return E_FBIG;
			while (*from)
				command.reply[size++] = *from++;
			command.reply[size++] = '\n';
		}
		if (offset == before)
			break;
	}
	if (got < 0)
		return error_of_files(got);
	command.answer.size = size;
	return error_of_files(rsl_fs_release(&fs, RSL_FS_ROOT, true, handle));
}

static int read_node(uint64_t node)
{
	uint32_t size = 0;
	uint64_t handle;
	int got;

	got = rsl_fs_open(&fs, node, false, &handle);
	if (got)
		return error_of_files(got);
	do {
		uint32_t room = ANSWER_DATA - size;

		got = rsl_fs_read(&fs, node, handle, size, command.reply + size,
				  room < fs.largest ? room : fs.largest);
		if (got > 0)
			size += got;
	} while (got > 0 && size < ANSWER_DATA);
	if (got < 0)
		return error_of_files(got);
	command.answer.size = size;
	return error_of_files(rsl_fs_release(&fs, node, false, handle));
}

static int cat(const struct request *request)
{
	char name[256];
	uint64_t node, length;
	uint32_t mode;
	int got, result;

	if (request->size >= sizeof(name))
		return E_INVAL;
	memcpy(name, command.data, request->size);
	name[request->size] = 0;
	got = rsl_fs_lookup(&fs, RSL_FS_ROOT, name, &node, &length, &mode);
	if (got)
		return error_of_files(got);
	result = length > ANSWER_DATA ? E_FBIG : read_node(node);
	got = rsl_fs_forget(&fs, node);
	return got ? error_of_files(got) : result;
}

static int execute(const struct request *request)
{
	switch (request->command) {
	case COMMAND_READ:
	case COMMAND_WRITE:
	case COMMAND_CAPACITY:
		return is_up(BLK) ? on_disk(request) : E_NODEV;
	case COMMAND_RANDOM:
		return is_up(RNG) ? random_bytes(request) : E_NODEV;
	case COMMAND_LIST:
		return is_up(FS) ? list() : E_NODEV;
	case COMMAND_CAT:
		return is_up(FS) ? cat(request) : E_NODEV;
	default:
		return E_INVAL;
	}
}

/* Execute the command that is there; whether there is one. It may wait for a device. */
static bool serve_command(void)
{
	int status;

	if (!command.stream || !command.complete || command.answered)
		return false;
	command.answer.size = 0;
	status = execute(&command.request);
	command.answer.status = status;
	if (status)
		command.answer.size = 0;
	command.answered = true;
	return true;
}

/* ---- net ---- */

#define FRAME			1514

static const uint8_t own_address[4] = { 10, 0, 0, 2 };
static const uint8_t own_mac[6] = { 0x52, 0x54, 0, 0, 0, 2 };

static bool same(const uint8_t *a, const uint8_t *b, unsigned int size)
{
	while (size && *a == *b) {
		a++;
		b++;
		size--;
	}
	return !size;
}

static void swap(uint8_t *a, uint8_t *b, unsigned int size)
{
	while (size--) {
		uint8_t byte = a[size];

		a[size] = b[size];
		b[size] = byte;
	}
}

/* RFC 826: Ethernet, IPv4, request, for this address. */
static bool answer_arp(uint8_t *frame, int size, const uint8_t *mac)
{
	static const uint8_t request[] = { 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 };

	if (size < 42 || !same(frame + 12, request, sizeof(request)) ||
	    !same(frame + 38, own_address, 4))
		return false;
	frame[21] = 2;
	swap(frame + 22, frame + 32, 10);
	memcpy(frame + 22, mac, 6);
	return true;
}

/* RFC 792. The checksum of IP stays as it is, because the same words are in it. */
static bool answer_ping(uint8_t *frame, int size)
{
	uint32_t sum;

	if (size < 42 || frame[12] != 8 || frame[13] != 0 || frame[14] != 0x45 ||
	    frame[23] != 1 || !same(frame + 30, own_address, 4) || frame[34] != 8)
		return false;
	swap(frame + 26, frame + 30, 4);
	frame[34] = 0;
	/* A word that is smaller by 0x800 (RFC 1624). */
	sum = (uint32_t)(frame[36] << 8 | frame[37]) + 0x800;
	sum = (sum & 0xffff) + (sum >> 16);
	frame[36] = sum >> 8;
	frame[37] = sum;
	return true;
}

static bool serve_net(void)
{
	static uint8_t frame[FRAME];
	static int size;	/* of an answer that waits for room; 0: none */
	const uint8_t *mac = own_mac;
	unsigned int n;

	for (n = 0; n < sizeof(net.mac); n++)
		if (net.mac[n])
			mac = net.mac;
	if (!size) {
		size = rsl_net_receive(&net, frame, sizeof(frame));
		if (size <= 0) {
			size = 0;
			return false;
		}
		if (!answer_arp(frame, size, mac) && !answer_ping(frame, size)) {
			size = 0;
			return true;
		}
		memcpy(frame, frame + 6, 6);
		memcpy(frame + 6, mac, 6);
	}
	if (rsl_net_send(&net, frame, size) == RSL_AGAIN)
		return false;
	size = 0;
	return true;
}

/* ---- console ---- */

static bool serve_console(void)
{
	static uint8_t text[64];
	static int size, at;
	int n, result;

	if (at == size) {
		at = 0;
		size = rsl_console_read(&console, text, sizeof(text));
		if (size <= 0) {
			size = 0;
			return false;
		}
		for (n = 0; n < size; n++)
			if (text[n] >= 'a' && text[n] <= 'z')
				text[n] -= 'a' - 'A';
	}
	result = rsl_console_write(&console, text + at, size - at);
	if (result == RSL_AGAIN)
		return false;
	at = result < 0 ? size : at + result;
	return true;
}
