#!/usr/bin/env bash
# Records where the server's time goes under a load, as flamegraphs/<date>-<scenario>.svg.
#
#   flamegraphs/record.sh echo|fanout|storm|slow
#
#   SECONDS_RECORDED=20  how long perf records    SERVER_CORE=0  LOAD_CORE=1
#
# Builds the profile `profiling` (the shipped optimisation with symbols), pins
# the server to one core and the load generator to another, and samples the server with perf's
# cpu-clock, which needs no hardware counters. Stacks are unwound by DWARF: Debian's C library has
# no frame pointers, and by them everything above a system call would hang on nothing. Fails if the load's own checks fail.
set -euo pipefail
cd "$(dirname "$0")/.."

INFERNO=0.12.8
FREQUENCY=499 # no multiple of the timer, or samples and ticks keep step
seconds=${SECONDS_RECORDED:-20}
server_core=${SERVER_CORE:-0}
load_core=${LOAD_CORE:-1}
tools=$PWD/target/tools
work=$PWD/target/flamegraphs
scenario=${1:-}

# Connections that the storm comes on top of.
IDLE=5000

# The load of a scenario, without its duration.
case $scenario in
echo) load=(echo -c 200) ;;
fanout) load=(fanout --rooms 10 --members 100) ;;
storm) load=(connect --lanes 50 --silent) ;;
slow) load=(slow --members 200 --stopped 20 --publishers 5) ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac

install_tools() {
    if ! command -v perf >/dev/null; then
        local sudo=
        [ "$(id -u)" = 0 ] || sudo=sudo
        $sudo apt-get install -y -qq --no-install-recommends linux-perf
    fi
    [ -x "$tools/bin/inferno-flamegraph" ] ||
        cargo install --quiet --locked --root "$tools" inferno --version "$INFERNO" \
            --no-default-features --features cli --bin inferno-collapse-perf --bin inferno-flamegraph
}

# The text of a field in the server's line that says where it listens.
listening() {
    sed -n "/\"message\":\"listening\"/s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/server.log"
}

started=()
stop() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap stop EXIT

install_tools
mkdir -p "$work"
: >"$work/server.log"
cargo build --quiet --profile profiling -p supportal -p loadtest
binaries=${CARGO_TARGET_DIR:-$PWD/target}/profiling

taskset -c "$server_core" "$binaries/supportal" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --workers 1 \
    --set log.format=json --set assistant.kind=none --set limits.messages_per_second=0 \
    --set limits.bytes_per_second=0 --set limits.connections_per_ip=0 2>"$work/server.log" &
server=$!
started+=("$server")
for _ in $(seq 100); do
    [ -n "$(listening public)" ] && break
    sleep 0.1
done
[ -n "$(listening public)" ] || {
    cat "$work/server.log" >&2
    echo "flamegraphs/record.sh: the server did not start" >&2
    exit 1
}
target=(--url "ws://$(listening public)" --admin "http://$(listening admin)")

if [ "$scenario" = storm ]; then
    taskset -c "$load_core" "$binaries/loadtest" idle -c "$IDLE" -d "$((seconds + 30))s" "${target[@]}" \
        >"$work/idle.log" 2>&1 &
    started+=($!)
    sleep 5 # until they are all connected
fi
taskset -c "$load_core" "$binaries/loadtest" "${load[@]}" -d "$((seconds + 4))s" "${target[@]}" --pid "$server" \
    >"$work/$scenario.txt" 2>&1 &
generator=$!
started+=("$generator")
sleep 3 # connected and warm
taskset -c "$load_core" perf record -q -e cpu-clock -F "$FREQUENCY" --call-graph dwarf,8192 -p "$server" -o "$work/$scenario.data" -- sleep "$seconds"
wait "$generator" || {
    tail -n 30 "$work/$scenario.txt" >&2
    echo "flamegraphs/record.sh: the load broke its invariants" >&2
    exit 1
}

svg=flamegraphs/$(date +%F)-$scenario.svg
perf script --no-inline -i "$work/$scenario.data" 2>/dev/null |
    "$tools/bin/inferno-collapse-perf" --skip-after start_thread --skip-after __libc_start_call_main >"$work/$scenario.folded"
"$tools/bin/inferno-flamegraph" --title "supportal: $scenario" --subtitle "${load[*]}, one worker on one core" \
    --hash --minwidth 0.1 --fontwidth 0.62 "$work/$scenario.folded" >"$svg"
tail -n 25 "$work/$scenario.txt"
# perf weighs a sample by its period, in nanoseconds.
awk -v frequency="$FREQUENCY" '{ nanos += $NF; if (/entry_SYSCALL|do_syscall/) kernel += $NF }
    END {
        if (!nanos) { print "no samples"; exit 1 }
        samples = nanos / 1e9 * frequency
        printf "%d samples, %.1f %% below a system call\n", samples, 100 * kernel / nanos
        if (samples < 3000) print "WARNING: too few samples to judge small frames; the server had little CPU"
    }' "$work/$scenario.folded"
echo "$svg, $(wc -c <"$svg") bytes"
