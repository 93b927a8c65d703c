# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh disable=SC2154
# Brings links from a fresh boot to a running daemon, and back. A board's script sets BOARD and
# sources this file.
#
#	start    set the board's links up, run their daemons, start their remotes
#	stop     the same in reverse
#	restart  stop, then start
#	status   the links; exit status 0: all daemons run, 1: one has died, 3: none runs (as LSB)
#
# /etc/rslctl/LINK.env names the daemon of a link, as for the unit rsl-daemon@LINK:
#	RSL_DAEMON=/usr/bin/my-daemon --verbose
#	RSL_OPTIONS=--user nobody --clean-env
# RSL_OPTIONS are options of rslctl run; the ones above are the default. Other lines are variables
# for the daemon's environment, one NAME=VALUE per line, without quotes. A link without this file
# is set up and not served. The output of a daemon is in /var/log/rsl-LINK.log.
#
# The script stops at the first failure: it shows rslctl's message and undoes what it began.

set -euf

CONFIG=/etc/rslctl
RUN=/run/rsl
LOG=/var/log
# Seconds to wait for a device to appear, and for a daemon to end.
TIMEOUT=10
# Seconds to wait for a daemon to open its link.
READY=30

say() {
	echo "$BOARD: $*"
}

# Run Python statements for each item of the JSON document on stdin, which may be a list.
each() {
	python3 -I -c "import json, sys
data = json.load(sys.stdin)
for item in data if isinstance(data, list) else [data]:
    $1"
}

links() {
	document=$(rslctl boards show "$BOARD" --json) || return
	printf '%s\n' "$document" | each 'print(*(link["name"] for link in item["links"]))'
}

# The value of a variable in a link's file.
setting() {
	sed -n "s/^$2=//p" "$CONFIG/$1.env"
}

# The start time of a process that has not ended; with its number, it identifies the process.
began() {
	sed -n 's/.*) \([^Z]\)/\1/p' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# The process number of a link's daemon, if the daemon runs.
daemon() {
	[ -f "$RUN/$1.pid" ] || return 1
	read -r pid since <"$RUN/$1.pid" && [ -n "$since" ] || return 1
	[ "$(began "$pid")" = "$since" ] && echo "$pid"
}

set_up() {
	failed=0
	document=$(rslctl setup --board "$BOARD" --timeout "$TIMEOUT" --json) || failed=$?
	printf '%s\n' "$document" | each 'for step in item["steps"]:
        print("{}: {step}: {result} ({seconds:.2f} s)".format(item["link"], **step))'
	return "$failed"
}

# Run a link's daemon and start its remote.
serve() {
	link=$1
	if pid=$(daemon "$link"); then
		say "$link: its daemon runs already, process $pid"
		return
	fi
	command=$(setting "$link" RSL_DAEMON)
	if [ -z "$command" ]; then
		say "$link: $CONFIG/$link.env has no line RSL_DAEMON=COMMAND"
		return 1
	fi
	options=$(setting "$link" RSL_OPTIONS)
	# shellcheck disable=SC2086 # split the options into words
	set -- --link "$link" ${options:---user nobody --clean-env}
	# The last line may lack its newline.
	while read -r line || [ -n "$line" ]; do
		case $line in
		RSL_DAEMON=* | RSL_OPTIONS=* | '' | '#'* | ';'*) ;;
		*) set -- "$@" --setenv "$line" ;;
		esac
	done <"$CONFIG/$link.env"
	# rslctl becomes the daemon: the process stays the same, and leads its own process group.
	# shellcheck disable=SC2086 # split the command into words
	setsid rslctl run "$@" -- $command </dev/null >>"$LOG/rsl-$link.log" 2>&1 9>&- &
	pid=$!
	echo "$pid $(began "$pid")" >"$RUN/$link.pid"
	if ! wait_for_daemon "$link"; then
		say "$link: its daemon does not serve it; the end of $LOG/rsl-$link.log:"
		tail -n 5 "$LOG/rsl-$link.log"
		return 1
	fi
	rslctl remote start --link "$link" --timeout "$READY" --if-known || return 1
	if ! daemon "$link" >/dev/null; then
		say "$link: its daemon has ended; it must not go into the background"
		return 1
	fi
	say "$link: served by process $pid"
}

# Wait until the daemon has the link open. Fails if the daemon ends before, or after READY seconds.
wait_for_daemon() {
	tries=0
	while daemon "$1" >/dev/null && [ "$tries" -lt "$READY" ]; do
		document=$(rslctl status --link "$1" --json) || return 1
		if printf '%s\n' "$document" | each 'sys.exit(not item["open_files"])'; then
			# The daemon may have ended meanwhile.
			daemon "$1" >/dev/null
			return
		fi
		tries=$((tries + 1))
		sleep 1
	done
	return 1
}

# Send a signal to a daemon and the processes that it started. The daemon may have ended, or may
# not have its process group yet.
send() {
	kill "-$1" -- "-$2" 2>/dev/null || kill "-$1" "$2" 2>/dev/null || :
}

# End a link's daemon, then stop its remote.
end() {
	if pid=$(daemon "$1"); then
		send TERM "$pid"
		tries=0
		while daemon "$1" >/dev/null; do
			if [ "$tries" -eq "$TIMEOUT" ]; then
				say "$1: its daemon does not end: killing it"
				send KILL "$pid"
			elif [ "$tries" -gt "$((2 * TIMEOUT))" ]; then
				say "$1: process $pid cannot be killed"
				return 1
			fi
			tries=$((tries + 1))
			sleep 1
		done
		# Kill the remaining processes of its group, as the unit does.
		send KILL "$pid"
		say "$1: its daemon has ended"
	fi
	rm -f "$RUN/$1.pid"
	rslctl remote stop --link "$1" --force --if-known || :
}

# Allow one start or stop at a time: hold the lock until this script ends.
lock() {
	mkdir -p "$RUN"
	exec 9>"$RUN/bringup.lock"
	# The lock belongs to the open file, so this script keeps it after Python has ended. Not every
	# busybox has flock.
	python3 -I -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print(sys.argv[1], flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)' "$BOARD: another start or stop is going on: waiting for its end"
}

start() {
	say "setting its links up"
	set_up || fail "the links are not up"
	for name in $names; do
		if [ -f "$CONFIG/$name.env" ]; then
			serve "$name" || fail "link $name is not served"
		else
			say "$name: not served, as there is no $CONFIG/$name.env"
		fi
	done
}

stop() {
	for name in $names; do
		[ ! -e "$RUN/$name.pid" ] || end "$name"
	done
	rslctl teardown
}

fail() {
	say "$*; undoing what was begun" >&2
	stop || :
	exit 1
}

status() {
	rslctl status || :
	running=0 dead=0
	for name in $names; do
		if pid=$(daemon "$name"); then
			running=$((running + 1))
			say "$name: served by process $pid"
		elif [ -e "$RUN/$name.pid" ]; then
			dead=$((dead + 1))
			say "$name: its daemon has died; see $LOG/rsl-$name.log"
		fi
	done
	[ "$dead" -eq 0 ] || exit 1
	[ "$running" -gt 0 ] || exit 3
}

case ${1-} in
start | stop | restart | force-reload | status) ;;
*)
	echo "usage: $0 start|stop|restart|status" >&2
	exit 2
	;;
esac
names=$(links)
case $1 in
status) status ;;
restart | force-reload)
	lock
	stop
	start
	;;
*)
	lock
	"$1"
	;;
esac
