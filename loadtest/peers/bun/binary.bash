# The npm package is a launcher that its install script overwrites; the binary itself is in the package of the platform.
bun_binary() {
    local binary
    for binary in "$here"/node_modules/@oven/*/bin/bun; do
        # A build for another processor or C library does not run.
        if "$binary" --version >/dev/null 2>&1; then
            echo "$binary"
            return
        fi
    done
    fail "bun is not installed: run loadtest/peers/bun/install"
}
