#!/usr/bin/env bash
# Records where the server's time goes under a load, as flamegraphs/<date>-<scenario>.svg.
#
#   flamegraphs/record.sh echo|fanout|storm|slow
#
#   SECONDS_RECORDED=20  how long is recorded    SERVER_CORE=0  LOAD_CORE=1
#   PROFILER=perf|sampled  perf, or where it is refused the profiler inside flamegraphs/sampled
#
# Builds the profile `profiling` (the shipped optimisation with symbols), pins
# the server to one core and the load generator to another, and samples the server with perf's
# cpu-clock, which needs no hardware counters. Stacks are unwound by DWARF: Debian's C library has
# no frame pointers, and by them everything above a system call would hang on nothing. Fails if the
# load's own checks fail, or if the stacks are no good.
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
# Bytes of stack copied with a sample: a worker's fit, the control plane's futures are deeper.
stack=8192

# The load of a scenario, without its duration.
case $scenario in
echo) load=(echo -c 200) ;;
fanout) load=(fanout --rooms 10 --members 100) ;;
storm) load=(connect --lanes 50 --silent) stack=32768 ;;
slow) load=(slow --members 200 --stopped 20 --publishers 5) ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# May this user sample a process of their own, kernel included?
perf_works() {
    if ! command -v perf >/dev/null; then
        as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends linux-perf
    fi >&2 || return 1
    perf record -q -e cpu-clock -o "$work/probe.data" -- true >&2
}

choose_profiler() {
    case ${PROFILER:-} in
    perf | sampled) echo "$PROFILER" ;;
    '')
        if perf_works; then
            echo perf
        else
            echo "flamegraphs/record.sh: perf is refused; sampling inside the process, without the kernel's frames" >&2
            echo sampled
        fi
        ;;
    *)
        echo "flamegraphs/record.sh: PROFILER is perf or sampled" >&2
        return 64
        ;;
    esac
}

install_inferno() {
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

mkdir -p "$work"
profiler=$(choose_profiler)
install_inferno
: >"$work/server.log"
binaries=${CARGO_TARGET_DIR:-$PWD/target}/profiling
settings=(server.listen=127.0.0.1:0 admin.listen=127.0.0.1:0 server.workers=1 log.format=json
    assistant.kind=none limits.messages_per_second=0 limits.bytes_per_second=0 limits.connections_per_ip=0)
if [ "$profiler" = perf ]; then
    cargo build --quiet --profile profiling -p supportal -p loadtest
    command=("$binaries/supportal" "${settings[@]/#/--set=}")
else
    cargo build --quiet --profile profiling -p loadtest
    cargo build --quiet --profile profiling --manifest-path flamegraphs/sampled/Cargo.toml --target-dir "${binaries%/*}"
    command=("$binaries/sampled" "$work/$scenario.folded" "$seconds" "${settings[@]}")
fi
rm -f "$work/$scenario.folded"

taskset -c "$server_core" "${command[@]}" 2>"$work/server.log" &
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
if [ "$profiler" = perf ]; then
    taskset -c "$load_core" perf record -q -e cpu-clock -F "$FREQUENCY" --call-graph "dwarf,$stack" -p "$server" \
        -o "$work/$scenario.data" -- sleep "$seconds"
else
    kill -USR1 "$server"
fi
wait "$generator" || {
    tail -n 30 "$work/$scenario.txt" >&2
    echo "flamegraphs/record.sh: the load broke its invariants" >&2
    exit 1
}

if [ "$profiler" = perf ]; then
    perf script --no-inline -i "$work/$scenario.data" 2>/dev/null |
        "$tools/bin/inferno-collapse-perf" --skip-after start_thread --skip-after __libc_start_call_main \
            >"$work/$scenario.folded"
    how="perf" weight=$((1000000000 / FREQUENCY)) # perf weighs a sample by its period, in nanoseconds
else
    for _ in $(seq 100); do
        [ -e "$work/$scenario.folded" ] && break
        sleep 0.1
    done
    how="sampled inside the process, without the kernel's frames" weight=1
fi
tail -n 25 "$work/$scenario.txt"
# A stack is good if it leads through a function of ours.
awk -v weight="$weight" '{ all += $NF } /supportal/ { ours += $NF } /\[unknown\]/ { unknown += $NF }
    /entry_SYSCALL|el0_svc/ { kernel += $NF; if (/supportal/) attributed += $NF }
    END {
        if (!all) { print "no samples"; exit 1 }
        samples = all / weight
        if (!kernel) printf "%d samples, none of the kernel, %.1f %% with an unknown frame\n", samples, 100 * unknown / all
        else printf "%d samples: %.1f %% below a system call (%.1f %% of those below a function of ours), %.1f %% with an unknown frame\n",
            samples, 100 * kernel / all, 100 * attributed / kernel, 100 * unknown / all
        if (samples < 3000) print "WARNING: too few samples to judge small frames"
        if (unknown > 0.1 * all) print "WARNING: many stacks do not reach a thread'"'"'s start; copy more of the stack"
        if (ours < 0.5 * all) { print "the stacks are no good: most lead through no function of ours"; exit 1 }
    }' "$work/$scenario.folded"

svg=flamegraphs/$(date +%F)-$scenario.svg
"$tools/bin/inferno-flamegraph" --title "supportal: $scenario" --subtitle "${load[*]}, one worker on one core; $how" \
    --hash --minwidth 0.1 --fontwidth 0.62 "$work/$scenario.folded" >"$svg"
echo "$svg, $(wc -c <"$svg") bytes"
