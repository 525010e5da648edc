# Sourced by the scripts of each peer.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/.tools

fail() {
    echo "$*" >&2
    exit 1
}

# For `start PORT`: checks the port and asks for as many descriptors as there may be.
port_argument() {
    [[ $# -eq 1 && $1 =~ ^[0-9]+$ ]] || fail "usage: start PORT"
    port=$1
    ulimit -n "$(ulimit -Hn)"
}

# Is FILE there and no older than any of the others?
fresh() {
    local file=$1 source
    shift
    [[ -e $file ]] || return 1
    for source; do
        [[ ! $source -nt $file ]] || return 1
    done
}

# The packages of this folder's lockfile. Their install scripts are not run: none of them needs one.
npm_packages() {
    cd "$here"
    fresh node_modules/.package-lock.json package-lock.json ||
        npm ci --silent --ignore-scripts --no-fund --no-audit
}

npm_versions() {
    cd "$here"
    local name
    for name; do
        echo "$name $(node -p "require('./node_modules/$name/package.json').version")"
    done
}

# The system's Redis, or the one that channels/install has made.
redis_server() {
    command -v redis-server || { [[ ! -x $tools/redis/redis-server ]] || echo "$tools/redis/redis-server"; }
}
