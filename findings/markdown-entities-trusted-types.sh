#!/usr/bin/env bash
# decode-named-character-reference 1.3.0 (npm), which react-markdown, remark and micromark decode
# entities with, in a page whose Content-Security-Policy has require-trusted-types-for 'script'.
#
# The package has two builds. Bundlers take the one named by the export condition "browser": it writes
# the entity into element.innerHTML and reads textContent. With Trusted Types enforced (MDN,
# "Content-Security-Policy: require-trusted-types-for") an assignment of a string to innerHTML is a
# TypeError. So Markdown without an entity is parsed, and the first "&copy;" in it throws out of the
# parser; in React this takes the tree away, unless an error boundary is above it.
#
# What helps: the other build, which looks entities up in a table. It is the one of the condition
# "worker"; an alias of the bundler can choose it for pages.
#
# Installs the pinned packages in a temporary directory; serves on the loopback interface; needs
# chromium (Debian's package), python3 and npm. Fails when the behaviour changes.
set -euo pipefail
browser=$(command -v chromium || command -v chromium-browser) || {
  echo "chromium is missing: apt-get install chromium" >&2
  exit 2
}
work=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund micromark@4.0.2 decode-named-character-reference@1.3.0 esbuild@0.28.2
cat >page.js <<'JS'
import { micromark } from "micromark";

const shown = (text) => {
  try {
    const html = micromark(text);
    return html.includes("©") ? "decoded" : "parsed";
  } catch (error) {
    return error.name;
  }
};
document.title = `no entity: ${shown("Tea")}; entity: ${shown("Tea &copy; 2026")}`;
JS
npx esbuild page.js --bundle --format=esm --log-level=error --outfile=site/browser.js
npx esbuild page.js --bundle --format=esm --log-level=error --conditions=worker --outfile=site/worker.js
for build in browser worker; do
  echo "<!doctype html><title>-</title><script type=module src=/$build.js></script>" >"site/$build.html"
done
cat >serve.py <<'PY'
import functools
import http.server
import sys


class Handler(http.server.SimpleHTTPRequestHandler):
    def end_headers(self):
        if self.server.enforced:
            self.send_header("content-security-policy", "require-trusted-types-for 'script'")
        super().end_headers()

    def log_message(self, *arguments):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory="site"))
server.enforced = sys.argv[1] == "enforced"
print(server.server_port, flush=True)
server.serve_forever()
PY
failed=0
check() { # POLICY BUILD EXPECTED
  coproc SERVER { exec python3 serve.py "$1"; }
  server=$SERVER_PID
  read -r port <&"${SERVER[0]}"
  page=$("$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/profile-$1-$2" --virtual-time-budget=5000 \
    --dump-dom "http://127.0.0.1:$port/$2.html" 2>/dev/null)
  kill "$server"
  wait "$server" 2>/dev/null || true
  title=$(sed -n 's:.*<title>\(.*\)</title>.*:\1:p' <<<"$page")
  printf '%-12s %-8s %s\n' "$1" "$2" "$title"
  [[ "$title" == "$3" ]] || { echo "  expected: $3" >&2; failed=1; }
}
echo "decode-named-character-reference $(node -p 'require("./node_modules/decode-named-character-reference/package.json").version'), micromark 4.0.2, $("$browser" --version)"
echo "policy       build    what the page says"
check none browser "no entity: parsed; entity: decoded"
check enforced browser "no entity: parsed; entity: TypeError"
check enforced worker "no entity: parsed; entity: decoded"
exit "$failed"
